// Standardisation of latents over the training set; it travels in the model folder.
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

/// What a LatentScale is made from, gathered latent by latent, so that a set of any size will do.
class LatentStatistics {
 public:
  /// Latents (B, C, d, h, w), all of one shape but B.
  void add(const at::Tensor& latents);

  /// Mean and standard deviation of each channel. Throws Error when a channel is constant or not
  /// finite, or nothing was added.
  LatentScale standard() const;

  /// The paper's scale: the smallest and the largest value of all channels become -1 and 1.
  LatentScale range() const;

 private:
  std::vector<int64_t> size_;
  double count_ = 0;                             // values per channel
  at::Tensor sum_, sum_of_squares_, min_, max_;  // (C), float64
};

}  // namespace x2ctpa
