#include "x2ctpa/models/discriminators.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <algorithm>

#include "models/checks.h"

namespace x2ctpa {

void PatchDiscriminatorOptions::describe(OptionList& list) {
  list.add("spatial_dims", &spatial_dims, "2: pictures, 3: volumes.", {.min = 2, .max = 3});
  list.add("channels", &channels, "Channels of the input.", {.min = 1});
  list.add("hidden_channels", &hidden_channels, "Channels of the first stage.", {.min = 1});
  list.add("layers", &layers, "Stages that halve the image.", {.min = 1});
}

void DiscriminatorPairOptions::describe(OptionList& list) {
  list.add("channels", &channels, "Channels of the volume.", {.min = 1});
  list.add("hidden_channels", &hidden_channels, "Channels of the first stage.", {.min = 1});
  list.add("layers", &layers, "Stages that halve the image.", {.min = 1});
}

void LatentDiscriminatorOptions::describe(OptionList& list) {
  list.add("channels", &channels, "Channels of the latent.", {.min = 1});
  list.add("hidden_channels", &hidden_channels, "Channels of the first stage.", {.min = 1});
  list.add("layers", &layers, "Stages with a norm; all but the last halve the latent.", {.min = 1});
  list.add("kernel", &kernel, "Side of the kernels.", {.min = 3, .max = 4});
}

namespace {

using torch::nn::Sequential;

constexpr int64_t max_channels = 512;
constexpr double slope = 0.2;

torch::nn::LeakyReLU leaky_relu() {
  return torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(slope));
}

void add_convolution(Sequential& stage, int64_t dims, int64_t in, int64_t out, int64_t stride) {
  constexpr int64_t kernel = 4, padding = 2;
  if (dims == 2) {
    stage->push_back(torch::nn::Conv2d(
        torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding)));
  } else {
    stage->push_back(torch::nn::Conv3d(
        torch::nn::Conv3dOptions(in, out, kernel).stride(stride).padding(padding)));
  }
}

void add_norm(Sequential& stage, int64_t dims, int64_t channels) {
  if (dims == 2) {
    stage->push_back(torch::nn::BatchNorm2d(channels));
  } else {
    stage->push_back(torch::nn::BatchNorm3d(channels));
  }
}

PatchLogits run(std::vector<Sequential>& stages, at::Tensor x) {
  PatchLogits result;
  for (auto& stage : stages) result.features.push_back(x = stage->forward(x));
  result.logits = x;
  return result;
}

// A Sequential that may itself be part of one.
class PartImpl : public torch::nn::SequentialImpl {
 public:
  at::Tensor forward(at::Tensor x) { return torch::nn::SequentialImpl::forward(x); }
};
TORCH_MODULE(Part);

// Convolution, and BatchNorm and LeakyReLU where wanted, under MONAI's names.
Sequential monai_stage(const LatentDiscriminatorOptions& o, int64_t in, int64_t out, int64_t stride,
                       bool with_norm, bool last) {
  const int64_t padding = last ? (o.kernel - 1) / 2 : 1;
  torch::nn::Conv3d conv(
      torch::nn::Conv3dOptions(in, out, o.kernel).stride(stride).padding(padding).bias(!with_norm));
  torch::nn::init::normal_(conv->weight, 0.0, 0.02);
  if (conv->bias.defined()) torch::nn::init::zeros_(conv->bias);
  Sequential stage;
  stage->push_back("conv", conv);
  if (last) return stage;
  Part activation;
  if (with_norm) {
    torch::nn::BatchNorm3d norm(out);
    torch::nn::init::normal_(norm->weight, 1.0, 0.02);
    activation->push_back("N", norm);
  }
  activation->push_back("A", leaky_relu());
  stage->push_back("adn", activation);
  return stage;
}

}  // namespace

PatchDiscriminatorImpl::PatchDiscriminatorImpl(PatchDiscriminatorOptions options)
    : options_(options) {
  const int64_t dims = options.spatial_dims;
  int64_t in = options.channels, out = options.hidden_channels;
  for (int64_t i = 0; i <= options.layers + 1; ++i) {
    const bool last = i == options.layers + 1;
    Sequential stage;
    add_convolution(stage, dims, in, last ? 1 : out, i < options.layers ? 2 : 1);
    if (i > 0 && !last) add_norm(stage, dims, out);
    if (!last) stage->push_back(leaky_relu());
    stages_.push_back(register_module(fmt::format("model{}", i), stage));
    in = out;
    out = std::min(2 * out, max_channels);
  }
}

PatchLogits PatchDiscriminatorImpl::forward(const at::Tensor& x) {
  std::vector<int64_t> expected(size_t(options_.spatial_dims) + 2, -1);
  expected[1] = options_.channels;
  require_shape(x, expected, "discriminator: image (B, C, ...)");
  return run(stages_, x);
}

DiscriminatorPairImpl::DiscriminatorPairImpl(DiscriminatorPairOptions options) : options_(options) {
  const auto make = [&](int64_t dims) {
    return PatchDiscriminator(
        PatchDiscriminatorOptions{dims, options.channels, options.hidden_channels, options.layers});
  };
  image_ = register_module("image_discriminator", make(2));
  video_ = register_module("video_discriminator", make(3));
}

PatchLogits DiscriminatorPairImpl::slices(const at::Tensor& x) { return image_->forward(x); }

PatchLogits DiscriminatorPairImpl::volumes(const at::Tensor& x) { return video_->forward(x); }

LatentDiscriminatorImpl::LatentDiscriminatorImpl(LatentDiscriminatorOptions options)
    : options_(options) {
  const auto add = [&](const std::string& name, const Sequential& stage) {
    stages_.push_back(register_module(name, stage));
  };
  int64_t width = options.hidden_channels;
  add("initial_conv", monai_stage(options, options.channels, width, 2, false, false));
  for (int64_t i = 0; i < options.layers; ++i) {
    const int64_t stride = i + 1 < options.layers ? 2 : 1;
    add(std::to_string(i), monai_stage(options, width, 2 * width, stride, true, false));
    width *= 2;
  }
  add("final_conv", monai_stage(options, width, 1, 1, false, true));
}

PatchLogits LatentDiscriminatorImpl::forward(const at::Tensor& x) {
  require_shape(x, {-1, options_.channels, -1, -1, -1}, "discriminator: latent (B, C, D, H, W)");
  return run(stages_, x);
}

}  // namespace x2ctpa
