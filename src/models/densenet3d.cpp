#include "x2ctpa/models/densenet3d.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <map>

#include "models/checks.h"
#include "models/kernels/fixed_order.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void DenseNet3dOptions::describe(OptionList& list) {
  list.add("depth", &depth, "121, 169, 201 or 264: the published layers per block.", {.min = 1});
  list.add("blocks", &blocks, "Layers of each block; overrides depth when not empty.", {.min = 1});
  list.add("channels", &channels, "Channels of the input.", {.min = 1});
  list.add("planar", &planar, "Classify pictures: every kernel has a depth of 1.");
  list.add("growth", &growth, "Channels that each layer adds.", {.min = 1});
  list.add("init_features", &init_features, "Channels of the first convolution.", {.min = 1});
  list.add("bottleneck", &bottleneck,
           "Channels between a layer's two convolutions as a multiple of growth.", {.min = 1});
  list.add("drop_rate", &drop_rate, "Dropout after each layer.", {.min = 0, .max = 1});
  list.add("classes", &classes, "Number of logits.", {.min = 1});
}

namespace {

using Sizes = std::vector<int64_t>;

std::vector<int64_t> blocks_of(const DenseNet3dOptions& o) {
  if (!o.blocks.empty()) return o.blocks;
  const std::map<int64_t, std::vector<int64_t>> published{{121, {6, 12, 24, 16}},
                                                          {169, {6, 12, 32, 32}},
                                                          {201, {6, 12, 48, 32}},
                                                          {264, {6, 12, 64, 48}}};
  const auto found = published.find(o.depth);
  if (found == published.end()) {
    throw Error(
        fmt::format("DenseNet: expected a depth of 121, 169, 201 or 264, found {}", o.depth));
  }
  return found->second;
}

torch::nn::Conv3d conv(int64_t in, int64_t out, int64_t kernel, bool planar,
                       const Sizes& stride = {1, 1, 1}) {
  const Sizes kernels{planar ? 1 : kernel, kernel, kernel};
  const Sizes padding{planar ? 0 : kernel / 2, kernel / 2, kernel / 2};
  torch::nn::Conv3d layer(
      torch::nn::Conv3dOptions(in, out, kernels).stride(stride).padding(padding).bias(false));
  torch::nn::init::kaiming_normal_(layer->weight, 0.0, torch::kFanOut);
  return layer;
}

// Input (B, C, ...) -> (B, C + growth, ...).
class DenseLayerImpl : public torch::nn::Module {
 public:
  DenseLayerImpl(int64_t in, const DenseNet3dOptions& o) : drop_rate_(o.drop_rate) {
    const int64_t inner = o.bottleneck * o.growth;
    norm1_ = register_module("norm1", torch::nn::BatchNorm3d(in));
    conv1_ = register_module("conv1", conv(in, inner, 1, o.planar));
    norm2_ = register_module("norm2", torch::nn::BatchNorm3d(inner));
    conv2_ = register_module("conv2", conv(inner, o.growth, 3, o.planar));
  }
  at::Tensor forward(const at::Tensor& x) {
    auto h = conv1_->forward(at::relu(norm1_->forward(x)));
    h = conv2_->forward(at::relu(norm2_->forward(h)));
    if (drop_rate_ > 0) h = at::dropout(h, drop_rate_, is_training());
    return at::cat({x, h}, 1);
  }

 private:
  double drop_rate_;
  torch::nn::BatchNorm3d norm1_{nullptr}, norm2_{nullptr};
  torch::nn::Conv3d conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(DenseLayer);

// A Sequential that may itself be part of one.
class DenseBlockImpl : public torch::nn::SequentialImpl {
 public:
  at::Tensor forward(at::Tensor x) { return torch::nn::SequentialImpl::forward(x); }
};
TORCH_MODULE(DenseBlock);

class MaxPoolImpl : public torch::nn::Module {
 public:
  MaxPoolImpl(Sizes kernel, Sizes stride, Sizes padding)
      : kernel_(std::move(kernel)), stride_(std::move(stride)), padding_(std::move(padding)) {}
  at::Tensor forward(const at::Tensor& x) {
    if (fixed_order::wanted(x)) return fixed_order::max_pool3d(x, kernel_, stride_, padding_);
    return at::max_pool3d(x, kernel_, stride_, padding_);
  }

 private:
  Sizes kernel_, stride_, padding_;
};
TORCH_MODULE(MaxPool);

// Halves channels and sizes; an axis that has shrunk to 1 stays.
class TransitionImpl : public torch::nn::Module {
 public:
  TransitionImpl(int64_t in, bool planar) {
    norm_ = register_module("norm", torch::nn::BatchNorm3d(in));
    conv_ = register_module("conv", conv(in, in / 2, 1, planar));
  }
  at::Tensor forward(const at::Tensor& x) {
    const auto h = conv_->forward(at::relu(norm_->forward(x)));
    Sizes kernel;
    for (int64_t axis = 2; axis < 5; ++axis) kernel.push_back(std::min<int64_t>(2, h.size(axis)));
    return fixed_order::wanted(h) ? fixed_order::avg_pool3d(h, kernel)
                                  : at::avg_pool3d(h, kernel, kernel);
  }

 private:
  torch::nn::BatchNorm3d norm_{nullptr};
  torch::nn::Conv3d conv_{nullptr};
};
TORCH_MODULE(Transition);

}  // namespace

DenseNet3dImpl::DenseNet3dImpl(DenseNet3dOptions options) : options_(std::move(options)) {
  const auto blocks = blocks_of(options_);
  const bool planar = options_.planar;
  int64_t width = options_.init_features;
  features_->push_back("conv0", conv(options_.channels, width, 7, planar, {1, 2, 2}));
  features_->push_back("norm0", torch::nn::BatchNorm3d(width));
  features_->push_back("relu0", torch::nn::ReLU());
  const Sizes kernel{planar ? 1 : 3, 3, 3}, stride{planar ? 1 : 2, 2, 2},
      padding{planar ? 0 : 1, 1, 1};
  features_->push_back("pool0", MaxPool(kernel, stride, padding));
  for (size_t i = 0; i < blocks.size(); ++i) {
    DenseBlock block;
    for (int64_t j = 0; j < blocks[i]; ++j) {
      block->push_back(fmt::format("denselayer{}", j + 1), DenseLayer(width, options_));
      width += options_.growth;
    }
    features_->push_back(fmt::format("denseblock{}", i + 1), block);
    if (i + 1 < blocks.size()) {
      features_->push_back(fmt::format("transition{}", i + 1), Transition(width, planar));
      width /= 2;
    }
  }
  features_->push_back("norm5", torch::nn::BatchNorm3d(width));
  register_module("features", features_);
  classifier_ = register_module("classifier", torch::nn::Linear(width, options_.classes));
}

at::Tensor DenseNet3dImpl::features(const at::Tensor& x) {
  if (options_.planar) {
    require_shape(x, {-1, options_.channels, -1, -1}, "DenseNet: picture (B, C, H, W)");
  } else {
    require_shape(x, {-1, options_.channels, -1, -1, -1}, "DenseNet: volume (B, C, D, H, W)");
  }
  const auto h = features_->forward(options_.planar ? x.unsqueeze(2) : x);
  return at::relu(h).mean({2, 3, 4});
}

at::Tensor DenseNet3dImpl::forward(const at::Tensor& x) {
  return classifier_->forward(features(x));
}

}  // namespace x2ctpa
