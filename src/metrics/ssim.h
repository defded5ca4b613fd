// The structural similarity index of a volume, by slices and in 3D, in one pass.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

struct SsimMeans {
  double slices = 0;     ///< mean of the 2D index over all slices
  double volume = 0;     ///< mean of the 3D index
  double structure = 0;  ///< mean of the 3D index without its luminance factor
};

struct SsimVariant {
  bool uniform_sample = false;  ///< 7 equal taps and sample covariance, scikit-image's default
  bool slices_only = false;     ///< the 3D numbers are not wanted
  at::Tensor mask = {};         ///< float32 weights (D, H, W) of the 3D index; NaN when all are 0
};

/// Contiguous float32 CPU volumes (D, H, W) of one shape; see image_quality for the conventions.
SsimMeans ssim_means(const at::Tensor& truth, const at::Tensor& image, double data_range,
                     const SsimVariant& variant = {});

}  // namespace x2ctpa
