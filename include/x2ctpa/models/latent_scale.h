// Standardisation of latents per channel over the training set; it travels in the model folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct LatentScale {
  std::vector<int64_t> size;  ///< (d, h, w) of the latents
  std::vector<double> mean;   ///< per channel
  std::vector<double> std;    ///< per channel, above 0

  int64_t channels() const { return int64_t(mean.size()); }
  at::Tensor standardise(const at::Tensor& z) const;  ///< (B, C, d, h, w): (z - mean) / std
  at::Tensor restore(const at::Tensor& x) const;      ///< the inverse

  void describe(OptionList& options);
};

/// Mean and standard deviation of each channel of `latents` (N, C, d, h, w).
/// Throws Error when a channel is constant or not finite.
LatentScale measure_latent_scale(const at::Tensor& latents);

}  // namespace x2ctpa
