#include "x2ctpa/models/latent_posterior.h"

#include <ATen/ATen.h>

namespace x2ctpa {

LatentPosterior LatentPosterior::from_moments(const at::Tensor& moments) {
  const auto parts = moments.chunk(2, 1);
  return {parts[0].contiguous(), parts[1].clamp(-30, 20).contiguous()};
}

at::Tensor LatentPosterior::sample(std::optional<at::Generator> generator) const {
  if (!logvar.defined()) return mean;
  const auto noise = at::randn(mean.sizes(), generator, at::kFloat).to(mean.options());
  return mean + (0.5 * logvar).exp() * noise;
}

}  // namespace x2ctpa
