// The part of a dataset's window in which the contrast lies, for losses that weigh it.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

struct ContrastRange {
  double low = -1, high = 1;  ///< in the units of `window`, [-1, 1]

  /// Volumes in [-1, 1] within the range, which becomes [-1, 1].
  at::Tensor of(const at::Tensor& volumes) const;
};

/// `hu` in the dataset's `window`; all of it at weight 0. Throws Error naming `section`, the
/// options' own, when they have nothing in common.
ContrastRange contrast_range(double weight, const std::vector<double>& hu,
                             const IntensityWindow& window, const std::string& section);

}  // namespace x2ctpa
