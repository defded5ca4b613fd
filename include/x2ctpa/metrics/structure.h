// Edges and bright vessels of a volume against the true one.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

namespace x2ctpa {

/// Of gradient magnitudes by central differences, one-sided at the borders, in HU per mm.
struct GradientQuality {
  double mae = 0;        ///< mean absolute difference
  double sharpness = 0;  ///< mean of the image's over mean of the truth's: below 1 is blurred
};
/// Volumes (D, H, W) of one shape with 2 or more voxels along each axis; `spacing_dhw_mm` their
/// spacing. Throws Error otherwise.
GradientQuality gradient_quality(const at::Tensor& truth, const at::Tensor& image,
                                 const std::array<double, 3>& spacing_dhw_mm);

/// 2 |A and B| / (|A| + |B|) of masks of one shape, not 0 inside (Dice 1945); NaN when both are
/// empty.
double dice(const at::Tensor& a, const at::Tensor& b);

}  // namespace x2ctpa
