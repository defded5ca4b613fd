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
  return options_.variational() ? LatentPosterior::from_moments(found) : LatentPosterior{found, {}};
}

at::Tensor ConvAutoencoder3dImpl::decode(const at::Tensor& latent) {
  check_latent(latent);
  return decoder_->forward(latent);
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
  return options_.variational() ? LatentPosterior::from_moments(found).mean : found;
}

at::Tensor ConvAutoencoder3dImpl::decode(const at::Tensor& latent, const MemoryPlan& plan) {
  check_latent(latent);
  at::NoGradGuard no_gradients;
  return slabs::run(decoder_->steps(), latent, plan);
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
