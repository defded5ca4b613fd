// The Gaussian that an autoencoder takes a latent from (Kingma and Welling, arXiv 1312.6114).
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <optional>

namespace x2ctpa {

/// The posterior N(mean, exp(logvar)) of a latent, per element; not scaled.
struct LatentPosterior {
  at::Tensor mean;    ///< (B, C, ...)
  at::Tensor logvar;  ///< as mean, within [-30, 20]; undefined: of an autoencoder that has none

  /// From 2 C channels (B, 2 C, ...): the means, then the logarithms of the variances.
  static LatentPosterior from_moments(const at::Tensor& moments);

  /// mean + exp(logvar / 2) * noise of mean's shape, from `generator` (CPU; the global one by
  /// default); the mean where there is no variance.
  at::Tensor sample(std::optional<at::Generator> generator = {}) const;
};

}  // namespace x2ctpa
