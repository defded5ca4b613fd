#include "x2ctpa/models/cxr_encoder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <algorithm>
#include <vector>

#include "models/checks.h"
#include "models/kernels/fixed_order.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void CxrEncoderOptions::describe(OptionList& list) {
  list.add("width", &width, "Channels of the first stage; each stage doubles them.", {.min = 1});
  list.add("max_width", &max_width, "Channels at most.", {.min = 1});
  list.add("stages", &stages, "Stages; each halves the picture.", {.min = 1, .max = 8});
  list.add("feature_stage", &feature_stage,
           "Stage, from 1, at whose resolution the feature map is given.", {.min = 1, .max = 8});
  list.add("feature_channels", &feature_channels, "Channels of the feature map.", {.min = 1});
  list.add("embedding_dim", &embedding_dim, "Width of the global embedding.", {.min = 1});
  list.add("groups", &groups, "Groups of GroupNorm; fewer where they do not divide the channels.",
           {.min = 1});
  list.add("mean", &mean, "Mean of the training X-rays, in [0, 1].", {.min = 0, .max = 1});
  list.add("std", &std, "Standard deviation of the training X-rays.", {.min = 1e-6});
}

namespace {

torch::nn::Conv2d conv3x3(int64_t in, int64_t out, int64_t stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1));
}

// Halves the picture, then a residual block (norm, SiLU, convolution, twice).
class StageImpl : public torch::nn::Module {
 public:
  StageImpl(int64_t in, int64_t out, int64_t groups) {
    groups = fitting_groups(out, groups);
    down_ = register_module("down", conv3x3(in, out, 2));
    norm1_ = register_module("norm1", torch::nn::GroupNorm(groups, out));
    conv1_ = register_module("conv1", conv3x3(out, out, 1));
    norm2_ = register_module("norm2", torch::nn::GroupNorm(groups, out));
    conv2_ = register_module("conv2", conv3x3(out, out, 1));
  }
  at::Tensor forward(const at::Tensor& x) {
    const auto y = down_->forward(x);
    const auto h = conv1_->forward(at::silu(norm1_->forward(y)));
    return y + conv2_->forward(at::silu(norm2_->forward(h)));
  }

 private:
  torch::nn::Conv2d down_{nullptr}, conv1_{nullptr}, conv2_{nullptr};
  torch::nn::GroupNorm norm1_{nullptr}, norm2_{nullptr};
};
TORCH_MODULE(Stage);

}  // namespace

CxrEncoderImpl::CxrEncoderImpl(CxrEncoderOptions options) : options_(options) {
  if (options.feature_stage < 1 || options.feature_stage > options.stages) {
    throw Error(fmt::format("CXR encoder: expected feature_stage within 1 to {} (stages), found {}",
                            options.stages, options.feature_stage));
  }
  int64_t channels = 1, feature_width = 0;
  for (int64_t i = 0; i < options.stages; ++i) {
    const int64_t out = std::min(options.width << i, options.max_width);
    stages_->push_back(Stage(channels, out, options.groups));
    channels = out;
    if (i + 1 == options.feature_stage) feature_width = out;
  }
  register_module("stages", stages_);
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  lateral_ = register_module("lateral", Conv2d(Conv2dOptions(feature_width, feature_width, 1)));
  top_ = register_module("top", Conv2d(Conv2dOptions(channels, feature_width, 1)));
  smooth_ = register_module("smooth", conv3x3(feature_width, options.feature_channels, 1));
  head_ = register_module("head", torch::nn::Linear(channels, options.embedding_dim));
}

CxrFeatures CxrEncoderImpl::forward(const at::Tensor& cxr) {
  require_shape(cxr, {-1, 1, -1, -1}, "CXR encoder: X-ray (B, 1, S, S)");
  const int64_t factor = int64_t{1} << options_.stages;
  require_multiple(cxr.size(2), factor, "CXR encoder: height of the X-ray");
  require_multiple(cxr.size(3), factor, "CXR encoder: width of the X-ray");
  auto x = (cxr - options_.mean) / options_.std;
  at::Tensor features;
  for (int64_t i = 0; i < options_.stages; ++i) {
    x = stages_[i]->as<Stage>()->forward(x);
    if (i + 1 == options_.feature_stage) features = x;
  }
  const auto top = top_->forward(x);
  const std::vector<int64_t> size{features.size(2), features.size(3)};
  const auto context = fixed_order::wanted(top)
                           ? fixed_order::upsample_bilinear2d(top, size)
                           : at::upsample_bilinear2d(top, size, /*align_corners=*/false);
  const auto map = smooth_->forward(at::silu(lateral_->forward(features) + context));
  return {head_->forward(at::silu(x.mean({2, 3}))), map};
}

}  // namespace x2ctpa
