// The structural similarity index of a volume, by slices and in 3D, in one pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

struct SsimMeans {
  double slices = 0;  ///< mean of the 2D index over all slices
  double volume = 0;  ///< mean of the 3D index
};

/// Contiguous float32 CPU volumes (D, H, W) of one shape; see image_quality for the conventions.
SsimMeans ssim_means(const at::Tensor& truth, const at::Tensor& image, double data_range);

}  // namespace x2ctpa
