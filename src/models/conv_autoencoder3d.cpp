#include "x2ctpa/models/conv_autoencoder3d.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "models/checks.h"
#include "models/conv_autoencoder3d_blocks.h"
#include "models/level_strides.h"
#include "models/slabs/conv_autoencoder3d_slabs.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void ConvAutoencoder3dOptions::describe(OptionList& list) {
  list.add("channels", &channels, "Channels of the volume.", {.min = 1});
  list.add("widths", &widths,
           "Channels of each level, the finest first. A level halves the axes that `downsample` "
           "still has to divide.",
           {.min = 1});
  list.add("blocks", &blocks, "Residual blocks of each level of the encoder.", {.min = 0});
  list.add("decoder_blocks", &decoder_blocks, "Residual blocks of each level of the decoder.",
           {.min = 0});
  list.add("latent_channels", &latent_channels, "Channels of the latent.", {.min = 1});
  list.add("downsample", &downsample, "Downsampling along D, H, W; powers of two.",
           {.min = 1, .count = 3});
  list.add("kl_weight", &kl_weight,
           "Weight of the KL divergence of a latent's posterior from the standard normal, mean "
           "over its elements; 0: a plain autoencoder, whose latents have no variance.",
           {.min = 0});
}

namespace {

const std::string network_name = "convolutional autoencoder";

void check_levels(const std::string& option, const std::vector<int64_t>& values, size_t levels,
                  const std::vector<int64_t>& downsample) {
  if (values.size() == levels) return;
  throw Error(
      fmt::format("{}: expected {} entries in {}, one for each level of downsample {}, "
                  "found {}",
                  network_name, levels, option, shape_text(downsample), values.size()));
}

// How many slices of the latent to each side of its own a slice of the volume depends on.
int64_t reach(const std::vector<conv_autoencoder3d::Step>& decoder) {
  int64_t slices = 0;
  for (auto step = decoder.rbegin(); step != decoder.rend(); ++step) {
    if (step->conv) slices += step->conv->weight.size(2) / 2;
    if (step->block) slices += 2;
    if (!step->to_space.empty()) slices = (slices + step->to_space[0] - 1) / step->to_space[0];
  }
  return slices;
}

}  // namespace

ConvAutoencoder3dImpl::ConvAutoencoder3dImpl(ConvAutoencoder3dOptions options)
    : options_(std::move(options)) {
  check_downsample(options_.downsample, network_name);
  const size_t levels = level_strides(options_.downsample).size();
  check_levels("widths", options_.widths, levels, options_.downsample);
  check_levels("blocks", options_.blocks, levels, options_.downsample);
  check_levels("decoder_blocks", options_.decoder_blocks, levels, options_.downsample);
  encoder_ = register_module("encoder", conv_autoencoder3d::make_encoder(options_));
  decoder_ = register_module("decoder", conv_autoencoder3d::make_decoder(options_));
  const auto& f = options_.downsample;
  const int64_t block = options_.channels * f[0] * f[1] * f[2], latent = options_.latent_channels;
  using torch::nn::Conv3d;
  using torch::nn::Conv3dOptions;
  linear_encoder_ = register_module("linear_encoder", Conv3d(Conv3dOptions(block, latent, 1)));
  linear_decoder_ = register_module("linear_decoder", Conv3d(Conv3dOptions(latent, block, 1)));
}

at::Tensor ConvAutoencoder3dImpl::linear_latent(const at::Tensor& x) {
  return linear_encoder_->forward(conv_autoencoder3d::space_to_depth(x, options_.downsample));
}

at::Tensor ConvAutoencoder3dImpl::linear_volume(const at::Tensor& latent) {
  return conv_autoencoder3d::depth_to_space(linear_decoder_->forward(latent), options_.downsample);
}

void ConvAutoencoder3dImpl::start_from_components(
    int64_t count, const std::function<at::Tensor(int64_t)>& volume) {
  at::NoGradGuard no_gradients;
  at::Tensor sum, products;
  double blocks = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto x = volume(i).unsqueeze(0);
    check_volume(x);
    const auto cubes = conv_autoencoder3d::space_to_depth(x, options_.downsample);
    const auto rows = cubes.squeeze(0).flatten(1).to(at::kCPU, at::kDouble);
    sum = i == 0 ? rows.sum(1) : sum + rows.sum(1);
    products = i == 0 ? rows.mm(rows.t()) : products + rows.mm(rows.t());
    blocks += double(rows.size(1));
  }
  const auto mean = sum / blocks;
  const auto [variance, directions] = at::linalg_eigh(products / blocks - at::outer(mean, mean));
  const int64_t kept = std::min(options_.latent_channels, mean.size(0));
  const auto axes = directions.flip(1).narrow(1, 0, kept);
  const auto std = variance.flip(0).narrow(0, 0, kept).clamp_min(1e-8).sqrt();
  for (auto* map : {&linear_encoder_, &linear_decoder_}) {
    (*map)->weight.zero_();
    (*map)->bias.zero_();
  }
  const auto to_latent = (axes / std).t();
  linear_encoder_->weight.narrow(0, 0, kept).copy_(to_latent.view({kept, -1, 1, 1, 1}));
  linear_encoder_->bias.narrow(0, 0, kept).copy_(-to_latent.mv(mean));
  linear_decoder_->weight.narrow(1, 0, kept).copy_((axes * std).view({-1, kept, 1, 1, 1}));
  linear_decoder_->bias.copy_(mean);
  for (auto* network : {encoder_.get(), decoder_.get()}) network->end_at_zero();
}

std::vector<int64_t> ConvAutoencoder3dImpl::latent_size(
    const std::vector<int64_t>& size_dhw) const {
  return downsampled(size_dhw, options_.downsample, network_name);
}

void ConvAutoencoder3dImpl::check_volume(const at::Tensor& x) const {
  require_shape(x, {-1, options_.channels, -1, -1, -1}, network_name + ": volume (B, C, D, H, W)");
  latent_size({x.size(2), x.size(3), x.size(4)});
}

void ConvAutoencoder3dImpl::check_latent(const at::Tensor& latent) const {
  require_shape(latent, {-1, options_.latent_channels, -1, -1, -1},
                network_name + ": latent (B, C, d, h, w)");
}

LatentPosterior ConvAutoencoder3dImpl::posterior(const at::Tensor& x) {
  check_volume(x);
  const auto found = encoder_->forward(x);
  auto posterior =
      options_.variational() ? LatentPosterior::from_moments(found) : LatentPosterior{found, {}};
  posterior.mean = posterior.mean + linear_latent(x);
  return posterior;
}

at::Tensor ConvAutoencoder3dImpl::decode(const at::Tensor& latent) {
  check_latent(latent);
  return decoder_->forward(latent) + linear_volume(latent);
}

at::Tensor ConvAutoencoder3dImpl::decode_slices(const at::Tensor& latent, const at::Tensor& place) {
  check_latent(latent);
  require_shape(place, {latent.size(0)}, network_name + ": places of slices (B)");
  const int64_t factor = options_.downsample[0], around = reach(decoder_->steps());
  const int64_t depth = latent.size(2), part = std::min(depth, 2 * around + 1);
  std::vector<at::Tensor> parts;
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < latent.size(0); ++i) {
    const auto number = std::clamp<int64_t>(
        int64_t(place[i].item<double>() * double(depth * factor)), 0, depth * factor - 1);
    const auto start = std::clamp<int64_t>(number / factor - around, 0, depth - part);
    parts.push_back(latent[i].narrow(1, start, part));
    numbers.push_back(number - start * factor);
  }
  const auto volumes = decode(at::stack(parts));
  std::vector<at::Tensor> slices;
  for (int64_t i = 0; i < latent.size(0); ++i)
    slices.push_back(volumes[i].select(1, numbers[size_t(i)]));
  return at::stack(slices);
}

MemoryPlan ConvAutoencoder3dImpl::plan_encode(at::IntArrayRef volume_shape,
                                              const MemoryLimit& limit) const {
  return slabs::plan(encoder_->steps(), volume_shape, limit,
                     network_name + ": encoding a volume of " + shape_text(volume_shape));
}

MemoryPlan ConvAutoencoder3dImpl::plan_decode(at::IntArrayRef latent_shape,
                                              const MemoryLimit& limit) const {
  return slabs::plan(decoder_->steps(), latent_shape, limit,
                     network_name + ": decoding a latent of " + shape_text(latent_shape));
}

at::Tensor ConvAutoencoder3dImpl::encode(const at::Tensor& x, const MemoryPlan& plan) {
  check_volume(x);
  at::NoGradGuard no_gradients;
  const auto found = slabs::run(encoder_->steps(), x, plan);
  auto latent = options_.variational() ? LatentPosterior::from_moments(found).mean : found;
  // Slice by slice, so that it takes no memory to speak of.
  const int64_t thick = options_.downsample[0];
  for (int64_t z = 0; z < latent.size(2); ++z)
    latent.narrow(2, z, 1).add_(linear_latent(x.narrow(2, z * thick, thick)));
  return latent;
}

at::Tensor ConvAutoencoder3dImpl::decode(const at::Tensor& latent, const MemoryPlan& plan) {
  check_latent(latent);
  at::NoGradGuard no_gradients;
  auto volume = slabs::run(decoder_->steps(), latent, plan);
  const int64_t thick = options_.downsample[0];
  for (int64_t z = 0; z < latent.size(2); ++z)
    volume.narrow(2, z * thick, thick).add_(linear_volume(latent.narrow(2, z, 1)));
  return volume;
}

ConvAutoencoder3dOutput ConvAutoencoder3dImpl::forward(const at::Tensor& x,
                                                       std::optional<at::Generator> generator) {
  ConvAutoencoder3dOutput output;
  output.posterior = posterior(x);
  output.reconstruction =
      decode(is_training() ? output.posterior.sample(generator) : output.posterior.mean);
  return output;
}

}  // namespace x2ctpa
