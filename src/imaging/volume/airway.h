// The trachea and the main bronchi, which are air but no lung.
#pragma once

#include <torch/types.h>

namespace x2ctpa {

/// uint8 mask of the airway in `hu` (D, H, W), voxels `spacing_mm` apart, within `air` (air inside
/// the body): grown from the trachea with the highest threshold that does not leak into the lungs.
/// All zero when no trachea is seen.
at::Tensor find_airway(const at::Tensor& hu, const at::Tensor& air, double spacing_mm);

}  // namespace x2ctpa
