#include "models/vqgan3d_blocks.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>

#include "models/checks.h"
#include "models/kernels/norm_silu.h"
#include "models/level_strides.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa::vqgan3d {
namespace {

// Replicate padding on both sides of each axis so that a convolution of this kernel and stride
// gives size / stride; the odd voxel goes before. In the order of at::pad: last axis first.
Sizes same_padding(const Sizes& kernel, const Sizes& stride) {
  Sizes padding;
  for (size_t axis = kernel.size(); axis-- > 0;) {
    const int64_t total = kernel[axis] - stride[axis];
    padding.push_back(total / 2 + total % 2);
    padding.push_back(total / 2);
  }
  return padding;
}

at::Tensor replicate(const at::Tensor& x, const Sizes& padding) {
  const bool none = std::all_of(padding.begin(), padding.end(), [](int64_t p) { return p == 0; });
  return none ? x : pad_replicate(x, padding);
}

constexpr int64_t up_kernel = 4;

}  // namespace

NormImpl::NormImpl(int64_t channels, const Vqgan3dOptions& o)
    : groups_(o.norm == Vqgan3dNorm::batch ? 0 : fitting_groups(channels, o.groups)) {
  weight_ = register_parameter("weight", at::ones({channels}));
  bias_ = register_parameter("bias", at::zeros({channels}));
  if (groups_ > 0) return;
  mean_ = register_buffer("running_mean", at::zeros({channels}));
  variance_ = register_buffer("running_var", at::ones({channels}));
  batches_ = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

at::Tensor NormImpl::forward(const at::Tensor& x) {
  if (groups_ > 0) return norm_silu(x, groups_, weight_.unsqueeze(0), bias_.unsqueeze(0), eps());
  if (is_training()) batches_.add_(1);
  return activate(
      at::batch_norm(x, weight_, bias_, mean_, variance_, is_training(), 0.1, eps(), true));
}

SamePadConvImpl::SamePadConvImpl(int64_t in, int64_t out, int64_t kernel, const Sizes& stride)
    : padding_(same_padding(Sizes(3, kernel), stride)) {
  conv_ = register_module(
      "conv", torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).stride(stride)));
}

at::Tensor SamePadConvImpl::forward(const at::Tensor& x) {
  return conv_->forward(replicate(x, padding_));
}

SamePadUpImpl::SamePadUpImpl(int64_t in, int64_t out, const Sizes& stride)
    : padding_(same_padding(Sizes(3, up_kernel), stride)) {
  conv_ = register_module(
      "convt", torch::nn::ConvTranspose3d(torch::nn::ConvTranspose3dOptions(in, out, up_kernel)
                                              .stride(stride)
                                              .padding(up_kernel - 1)));
}

at::Tensor SamePadUpImpl::forward(const at::Tensor& x) {
  return conv_->forward(replicate(x, padding_));
}

ResBlockImpl::ResBlockImpl(int64_t channels, const Vqgan3dOptions& o) {
  norm1_ = register_module("norm1", Norm(channels, o));
  conv1_ = register_module("conv1", SamePadConv(channels, channels, 3));
  norm2_ = register_module("norm2", Norm(channels, o));
  conv2_ = register_module("conv2", SamePadConv(channels, channels, 3));
}

namespace {

// `layer(x)`, recomputed in the backward pass where wanted: padded copies and what lies within a
// layer are larger than what lies between two.
template <class Layer>
at::Tensor again(Layer layer, const at::Tensor& x, bool repeatable) {
  const auto run = [layer](const std::vector<at::Tensor>& in) mutable { return layer(in[0]); };
  return repeatable ? recomputed(run, {x}) : layer(x);
}

// Normalised, activated, convolved.
at::Tensor half_block(Norm norm, SamePadConv conv, const at::Tensor& x) {
  return again(
      [norm, conv](const at::Tensor& in) mutable { return conv->forward(norm->forward(in)); }, x,
      norm->repeatable());
}

// The layers that have no norm.
template <class Layer>
at::Tensor convolved(Layer layer, const at::Tensor& x) {
  return again([layer](const at::Tensor& in) mutable { return layer->forward(in); }, x, true);
}

}  // namespace

at::Tensor ResBlockImpl::forward(const at::Tensor& x) {
  return half_block(norm2_, conv2_, half_block(norm1_, conv1_, x)).add_(x);
}

DownLevelImpl::DownLevelImpl(int64_t in, const Sizes& stride, const Vqgan3dOptions& o) {
  down_ = register_module("down", SamePadConv(in, 2 * in, 4, stride));
  res_ = register_module("res", ResBlock(2 * in, o));
}

at::Tensor DownLevelImpl::forward(const at::Tensor& x) {
  return res_->forward(convolved(down_, x));
}

UpLevelImpl::UpLevelImpl(int64_t in, int64_t out, const Sizes& stride, const Vqgan3dOptions& o) {
  up_ = register_module("up", SamePadUp(in, out, stride));
  res1_ = register_module("res1", ResBlock(out, o));
  res2_ = register_module("res2", ResBlock(out, o));
}

at::Tensor UpLevelImpl::forward(const at::Tensor& x) {
  return res2_->forward(res1_->forward(convolved(up_, x)));
}

EncoderImpl::EncoderImpl(const Vqgan3dOptions& o) {
  first_ = register_module("conv_first", SamePadConv(o.channels, o.hidden_channels, 3));
  int64_t channels = o.hidden_channels;
  for (const auto& stride : level_strides(o.downsample)) {
    levels_->push_back(DownLevel(channels, stride, o));
    channels *= 2;
  }
  register_module("conv_blocks", levels_);
  last_norm_ = Norm(channels, o);
  final_block_->push_back(last_norm_);
  register_module("final_block", final_block_);
}

at::Tensor EncoderImpl::forward(const at::Tensor& x) {
  auto h = first_->forward(x);
  for (const auto& level : *levels_) h = level->as<DownLevel>()->forward(h);
  return last_norm_->forward(h);
}

std::vector<const DownLevelImpl*> EncoderImpl::levels() const {
  std::vector<const DownLevelImpl*> all;
  for (const auto& level : *levels_) all.push_back(level->as<DownLevel>());
  return all;
}

DecoderImpl::DecoderImpl(const Vqgan3dOptions& o) {
  const auto strides = level_strides(o.downsample);
  int64_t channels = o.hidden_channels << strides.size();
  first_norm_ = Norm(channels, o);
  final_block_->push_back(first_norm_);
  register_module("final_block", final_block_);
  for (size_t i = 0; i < strides.size(); ++i) {
    const int64_t out = o.hidden_channels << (strides.size() - i);
    levels_->push_back(UpLevel(channels, out, strides[i], o));
    channels = out;
  }
  register_module("conv_blocks", levels_);
  last_ = register_module("conv_last", SamePadConv(channels, o.channels, 3));
}

at::Tensor DecoderImpl::forward(const at::Tensor& x) {
  auto h = first_norm_->forward(x);
  for (const auto& level : *levels_) h = level->as<UpLevel>()->forward(h);
  return convolved(last_, h);
}

std::vector<const UpLevelImpl*> DecoderImpl::levels() const {
  std::vector<const UpLevelImpl*> all;
  for (const auto& level : *levels_) all.push_back(level->as<UpLevel>());
  return all;
}

}  // namespace x2ctpa::vqgan3d
