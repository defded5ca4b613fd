#include "x2ctpa/models/latent_scale.h"

#include <ATen/ATen.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.options()).view({1, -1, 1, 1, 1});
}

void check(const LatentScale& scale, const at::Tensor& x) {
  if (x.dim() != 5 || x.size(1) != scale.channels()) {
    throw Error(fmt::format("expected latents (B, {}, d, h, w), found a tensor of {} dimensions and {} channels",
                            scale.channels(), x.dim(), x.dim() > 1 ? x.size(1) : 0));
  }
}

}  // namespace

void LatentScale::describe(OptionList& options) {
  options.add("size", &size, "Depth, height and width of the latents.", {.min = 1, .count = 3});
  options.add("mean", &mean, "Mean of each latent channel over the training set.");
  options.add("std", &std, "Standard deviation of each latent channel over the training set.");
}

at::Tensor LatentScale::standardise(const at::Tensor& z) const {
  check(*this, z);
  return (z - per_channel(mean, z)) / per_channel(std, z);
}

at::Tensor LatentScale::restore(const at::Tensor& x) const {
  check(*this, x);
  return x * per_channel(std, x) + per_channel(mean, x);
}

LatentScale measure_latent_scale(const at::Tensor& latents) {
  LatentScale scale;
  const auto rows = latents.detach().to(at::kCPU, at::kDouble).transpose(0, 1).flatten(1);
  const auto mean = rows.mean(1), deviation = rows.std(1, /*unbiased=*/false);
  for (int64_t c = 0; c < rows.size(0); ++c) {
    scale.mean.push_back(mean[c].item<double>());
    scale.std.push_back(deviation[c].item<double>());
    if (!std::isfinite(scale.mean.back()) || !(scale.std.back() > 0)) {
      throw Error(fmt::format("latent channel {} has mean {} and standard deviation {} over the training set: the "
                              "autoencoder has collapsed. Train it again with another seed or learning rate.",
                              c, scale.mean.back(), scale.std.back()));
    }
  }
  for (int64_t d = 2; d < 5; ++d) scale.size.push_back(latents.size(d));
  return scale;
}

}  // namespace x2ctpa
