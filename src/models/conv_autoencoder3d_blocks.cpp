#include "models/conv_autoencoder3d_blocks.h"

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <memory>
#include <utility>

#include "models/kernels/norm_silu.h"
#include "models/kernels/rms_norm.h"
#include "models/level_strides.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa::conv_autoencoder3d {
namespace {

int64_t product(const Sizes& factors) { return factors[0] * factors[1] * factors[2]; }

torch::nn::Conv3d conv(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2));
}

std::string level_name(const std::string& what, size_t level) {
  return fmt::format("level{}_{}", level + 1, what);
}

}  // namespace

at::Tensor space_to_depth(const at::Tensor& x, const Sizes& f) {
  const int64_t d = x.size(2) / f[0], h = x.size(3) / f[1], w = x.size(4) / f[2];
  return x.permute({0, 2, 3, 4, 1})
      .reshape({x.size(0), d, f[0], h, f[1], w, f[2], x.size(1)})
      .permute({0, 1, 3, 5, 2, 4, 6, 7})
      .reshape({x.size(0), d, h, w, product(f) * x.size(1)})
      .permute({0, 4, 1, 2, 3});
}

at::Tensor depth_to_space(const at::Tensor& x, const Sizes& f) {
  const int64_t d = x.size(2), h = x.size(3), w = x.size(4), channels = x.size(1) / product(f);
  return x.permute({0, 2, 3, 4, 1})
      .reshape({x.size(0), d, h, w, f[0], f[1], f[2], channels})
      .permute({0, 1, 4, 2, 5, 3, 6, 7})
      .reshape({x.size(0), d * f[0], h * f[1], w * f[2], channels})
      .permute({0, 4, 1, 2, 3});
}

RmsNormImpl::RmsNormImpl(int64_t channels) {
  weight_ = register_parameter("weight", at::ones({channels}));
}

at::Tensor RmsNormImpl::forward(const at::Tensor& x) { return rms_norm(x, weight_); }

BlockImpl::BlockImpl(int64_t channels) {
  norm_ = register_module("norm", RmsNorm(channels));
  conv1_ = register_module("conv1", conv(channels, channels, 3));
  conv2_ = register_module("conv2", conv(channels, channels, 3));
  torch::nn::init::zeros_(conv2_->weight);
  torch::nn::init::zeros_(conv2_->bias);
}

at::Tensor BlockImpl::forward(const at::Tensor& x) {
  const auto residual = [norm = norm_, conv1 = conv1_,
                         conv2 = conv2_](const std::vector<at::Tensor>& in) mutable {
    return conv2->forward(activate(conv1->forward(norm->forward(in[0]))));
  };
  return recomputed(residual, {x}).add_(x);
}

void StepsImpl::add_to_depth(const Sizes& factors) { steps_.push_back({.to_depth = factors}); }

void StepsImpl::add_to_space(const Sizes& factors) { steps_.push_back({.to_space = factors}); }

void StepsImpl::add_conv(const std::string& name, int64_t in, int64_t out, int64_t kernel) {
  steps_.push_back({.conv = register_module(name, conv(in, out, kernel))});
}

void StepsImpl::add_blocks(const std::string& name, int64_t count, int64_t channels) {
  for (int64_t i = 1; i <= count; ++i)
    steps_.push_back({.block = register_module(fmt::format("{}{}", name, i), Block(channels))});
}

void StepsImpl::add_norm(const std::string& name, int64_t channels) {
  steps_.push_back({.norm = register_module(name, RmsNorm(channels))});
}

at::Tensor StepsImpl::forward(const at::Tensor& x) {
  auto y = x;
  for (auto& step : steps_) {
    if (!step.to_depth.empty()) y = space_to_depth(y, step.to_depth);
    if (!step.to_space.empty()) y = depth_to_space(y, step.to_space);
    if (step.conv) y = step.conv->forward(y);
    if (step.block) y = step.block->forward(y);
    if (step.norm) y = step.norm->forward(y);
  }
  return y.contiguous();
}

void StepsImpl::end_at_zero() {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    if (!step->conv) continue;
    torch::nn::init::zeros_(step->conv->weight);
    torch::nn::init::zeros_(step->conv->bias);
    return;
  }
}

std::shared_ptr<StepsImpl> make_encoder(const ConvAutoencoder3dOptions& o) {
  auto encoder = std::make_shared<StepsImpl>();
  const auto strides = level_strides(o.downsample);
  int64_t channels = o.channels;
  for (size_t level = 0; level < strides.size(); ++level) {
    encoder->add_to_depth(strides[level]);
    encoder->add_conv(level_name("conv", level), channels * product(strides[level]),
                      o.widths[level], level == 0 ? 3 : 1);
    encoder->add_blocks(level_name("block", level), o.blocks[level], o.widths[level]);
    channels = o.widths[level];
  }
  encoder->add_norm("norm", channels);
  encoder->add_conv("to_latent", channels, o.latent_channels * (o.variational() ? 2 : 1), 1);
  return encoder;
}

std::shared_ptr<StepsImpl> make_decoder(const ConvAutoencoder3dOptions& o) {
  auto decoder = std::make_shared<StepsImpl>();
  const auto strides = level_strides(o.downsample);
  decoder->add_conv("from_latent", o.latent_channels, o.widths.back(), 3);
  for (size_t level = strides.size(); level-- > 0;) {
    const int64_t width = o.widths[level];
    const int64_t next = level == 0 ? o.channels : o.widths[level - 1];
    decoder->add_blocks(level_name("block", level), o.decoder_blocks[level], width);
    if (level == 0) decoder->add_norm("norm", width);
    decoder->add_conv(level_name("conv", level), width, next * product(strides[level]),
                      level == 0 ? 3 : 1);
    decoder->add_to_space(strides[level]);
  }
  return decoder;
}

}  // namespace x2ctpa::conv_autoencoder3d
