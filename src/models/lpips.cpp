#include "x2ctpa/models/lpips.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <memory>
#include <string>

#include "models/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

struct VggBlock {
  int64_t channels, convolutions;
};
constexpr VggBlock vgg16[] = {{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}};

// The statistics by which LPIPS standardises pictures in [-1, 1].
at::Tensor standardised(const at::Tensor& x) {
  const auto row = [&](std::vector<double> values) {
    return at::tensor(values, at::kFloat).view({1, 3, 1, 1}).to(x.options());
  };
  return (x - row({-0.030, -0.088, -0.188})) / row({0.458, 0.448, 0.450});
}

// Every pixel's features at length 1.
at::Tensor normalised(const at::Tensor& x) {
  return x / (x.square().sum(1, /*keepdim=*/true).sqrt() + 1e-10);
}

void check_picture(const at::Tensor& x) {
  require_shape(x, {-1, -1, -1, -1}, "LPIPS: picture (B, C, H, W)");
  if (x.size(1) != 1 && x.size(1) != 3) {
    throw Error(fmt::format("LPIPS: expected 1 or 3 channels, found {}", x.size(1)));
  }
  if (std::min(x.size(2), x.size(3)) < 16) {
    throw Error(fmt::format("LPIPS: expected pictures of at least 16x16, found {}x{}", x.size(2),
                            x.size(3)));
  }
}

}  // namespace

LpipsImpl::LpipsImpl() {
  auto vgg = register_module("features", std::make_shared<torch::nn::Module>("features"));
  int64_t in = 3, index = 0;
  for (const auto& [channels, convolutions] : vgg16) {
    std::vector<torch::nn::Conv2d> block;
    for (int64_t i = 0; i < convolutions; ++i, index += 2) {  // a ReLU follows each
      block.push_back(vgg->register_module(
          std::to_string(index),
          torch::nn::Conv2d(torch::nn::Conv2dOptions(in, channels, 3).padding(1))));
      in = channels;
    }
    ++index;  // the pooling
    auto linear = register_module(fmt::format("lin{}", blocks_.size()),
                                  std::make_shared<torch::nn::Module>("lin"));
    auto model = linear->register_module("model", std::make_shared<torch::nn::Module>("model"));
    linear_.push_back(model->register_module(  // dropout was number 0
        "1", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, 1, 1).bias(false))));
    blocks_.push_back(std::move(block));
  }
  for (auto& parameter : parameters()) parameter.set_requires_grad(false);
}

std::vector<at::Tensor> LpipsImpl::features(const at::Tensor& x) {
  auto h = standardised(x.expand({-1, 3, -1, -1})).contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<at::Tensor> taps;
  for (auto& block : blocks_) {
    if (!taps.empty()) h = at::max_pool2d(h, 2);
    for (auto& conv : block) h = at::relu(conv->forward(h));
    taps.push_back(normalised(h));
  }
  return taps;
}

at::Tensor LpipsImpl::forward(const at::Tensor& x, const at::Tensor& y) {
  check_picture(x);
  check_picture(y);
  if (x.sizes() != y.sizes()) {
    throw Error(fmt::format("LPIPS: expected two pictures of one shape, found {} and {}",
                            shape_text(x.sizes()), shape_text(y.sizes())));
  }
  const auto of_x = features(x), of_y = features(y);
  auto distance = at::zeros({x.size(0)}, x.options());
  for (size_t i = 0; i < of_x.size(); ++i) {
    const auto difference = (of_x[i] - of_y[i]).square();
    distance = distance + linear_[i]->forward(difference).mean({1, 2, 3});
  }
  return distance;
}

}  // namespace x2ctpa
