// Euclidean distances and the morphology made of them.
#pragma once

#include <torch/types.h>

namespace x2ctpa {

/// Squared distance in mm^2 from each voxel of `mask` (uint8 (D, H, W)) to the nearest non-zero
/// one, voxels being `spacing_mm` apart on every axis (Felzenszwalb & Huttenlocher 2012).
at::Tensor squared_distance(const at::Tensor& mask, double spacing_mm);

/// Mask grown by a ball, and grown then shrunk; beyond the borders there is nothing.
at::Tensor dilated(const at::Tensor& mask, double radius_mm, double spacing_mm);
at::Tensor closed(const at::Tensor& mask, double radius_mm, double spacing_mm);

}  // namespace x2ctpa
