// Air and lung that the lower end of a HU window cut off, put back.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// What the lowest tenth of a window becomes. It holds all that was cut off, a little noise on it,
/// and some fat: where the border lay is lost.
enum class ClippedAir {
  /// All of it becomes lung, a border that thresholds find: for finding lungs. A volume that still
  /// holds air, a value of -600 HU or less, was not cut off and stays as it is.
  step,
  /// From lung at the window's lower end to itself at the tenth, so that a little noise changes
  /// line integrals little: for numbers of projections. Whatever lies below the window becomes lung
  /// too, in every volume.
  ramp
};

/// `hu`, of any shape, with lung (-850 HU) where the window from `min_hu` to `max_hu` cut it off.
at::Tensor with_clipped_air(const at::Tensor& hu, double min_hu, double max_hu, ClippedAir rule);

}  // namespace x2ctpa
