#include "x2ctpa/models/latent_scale.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.options()).view({1, -1, 1, 1, 1});
}

void check(const LatentScale& scale, const at::Tensor& x) {
  if (x.dim() != 5 || x.size(1) != scale.channels()) {
    throw Error(fmt::format(
        "expected latents (B, {}, d, h, w), found a tensor of {} dimensions and {} channels",
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

void LatentStatistics::add(const at::Tensor& latents) {
  if (latents.dim() != 5) {
    throw Error(fmt::format("expected latents (B, C, d, h, w), found a tensor of {} dimensions",
                            latents.dim()));
  }
  const std::vector<int64_t> size{latents.size(2), latents.size(3), latents.size(4)};
  if (size_.empty()) size_ = size;
  if (size != size_ || (sum_.defined() && sum_.numel() != latents.size(1))) {
    throw Error(
        "latents of the training set differ in shape; delete the folder `latents` and encode them "
        "again");
  }
  const auto rows = latents.detach().to(at::kCPU, at::kDouble).transpose(0, 1).flatten(1);
  const auto sum = rows.sum(1), squares = rows.square().sum(1), low = rows.amin(1),
             high = rows.amax(1);
  count_ += double(rows.size(1));
  const bool first = !sum_.defined();
  sum_ = first ? sum : sum_ + sum;
  sum_of_squares_ = first ? squares : sum_of_squares_ + squares;
  min_ = first ? low : at::minimum(min_, low);
  max_ = first ? high : at::maximum(max_, high);
}

LatentScale LatentStatistics::standard() const {
  if (!sum_.defined()) throw Error("there are no latents to take statistics of", ExitCode::no_data);
  LatentScale scale;
  scale.size = size_;
  const auto mean = sum_ / count_;
  const auto deviation = (sum_of_squares_ / count_ - mean.square()).clamp_min(0).sqrt();
  for (int64_t c = 0; c < mean.numel(); ++c) {
    scale.mean.push_back(mean[c].item<double>());
    scale.std.push_back(deviation[c].item<double>());
    // A constant channel leaves rounding errors of its mean behind.
    if (!std::isfinite(scale.mean.back()) ||
        !(scale.std.back() > 1e-7 * std::abs(scale.mean.back()))) {
      throw Error(fmt::format(
          "latent channel {} has mean {} and standard deviation {} over the training set: the "
          "autoencoder has collapsed. Train it again with another seed or learning rate.",
          c, scale.mean.back(), scale.std.back()));
    }
  }
  return scale;
}

LatentScale LatentStatistics::range() const {
  LatentScale scale = standard();
  const double low = min_.min().item<double>(), high = max_.max().item<double>();
  scale.mean.assign(scale.mean.size(), (low + high) / 2);
  scale.std.assign(scale.std.size(), (high - low) / 2);
  return scale;
}

}  // namespace x2ctpa
