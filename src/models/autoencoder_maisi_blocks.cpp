#include "models/autoencoder_maisi_blocks.h"

#include <ATen/ATen.h>

#include <vector>

#include "models/kernels/norm_silu.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa::autoencoder_maisi {
namespace {

torch::nn::GroupNorm group_norm_of(int64_t channels, int64_t groups) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels).eps(1e-6));
}

// Norm, SiLU, convolution; computed anew in the backward pass where that is wanted.
at::Tensor half_block(torch::nn::GroupNorm norm, torch::nn::Conv3d conv, const at::Tensor& x) {
  const auto run = [norm, conv](const std::vector<at::Tensor>& in) mutable {
    const auto& o = norm->options;
    return conv->forward(norm_silu(in[0], o.num_groups(), norm->weight.unsqueeze(0),
                                   norm->bias.unsqueeze(0), o.eps()));
  };
  return recomputed(run, {x});
}

torch::nn::Conv3d halving(int64_t channels) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(channels, channels, 3).stride(2));
}

}  // namespace

torch::nn::Conv3d convolution(int64_t in, int64_t out, int64_t kernel) {
  return torch::nn::Conv3d(torch::nn::Conv3dOptions(in, out, kernel).padding(kernel / 2));
}

ResBlockImpl::ResBlockImpl(int64_t in, int64_t out, int64_t groups) {
  norm1_ = register_module("norm1", group_norm_of(in, groups));
  conv1_ = register_module("conv1", convolution(in, out, 3));
  norm2_ = register_module("norm2", group_norm_of(out, groups));
  conv2_ = register_module("conv2", convolution(out, out, 3));
  if (in != out) nin_shortcut_ = register_module("nin_shortcut", convolution(in, out, 1));
}

at::Tensor ResBlockImpl::forward(const at::Tensor& x) {
  const auto h = half_block(norm2_, conv2_, half_block(norm1_, conv1_, x));
  return h + (nin_shortcut_ ? nin_shortcut_->forward(x) : x);
}

SideImpl::SideImpl(Direction direction, int64_t in, const std::vector<int64_t>& widths,
                   const std::vector<int64_t>& blocks, int64_t out, int64_t groups)
    : direction_(direction) {
  blocks_->push_back(first_ = convolution(in, widths.front(), 3));
  int64_t width = widths.front();
  for (size_t i = 0; i < widths.size(); ++i) {
    Level level;
    if (i > 0) {
      level.resample = direction == Direction::down ? halving(width) : convolution(width, width, 3);
      blocks_->push_back(level.resample);
    }
    for (int64_t j = 0; j < blocks[i]; ++j) {
      blocks_->push_back(level.blocks.emplace_back(ResBlock(width, widths[i], groups)));
      width = widths[i];
    }
    levels_.push_back(level);
  }
  blocks_->push_back(norm_ = group_norm_of(width, groups));
  blocks_->push_back(last_ = convolution(width, out, 3));
  register_module("blocks", blocks_);
}

at::Tensor SideImpl::resampled(torch::nn::Conv3d conv, const at::Tensor& x) const {
  const bool down = direction_ == Direction::down;
  const auto run = [conv, down](const std::vector<at::Tensor>& in) mutable {
    if (down) return conv->forward(at::constant_pad_nd(in[0], {0, 1, 0, 1, 0, 1}));
    return conv->forward(at::upsample_trilinear3d(
        in[0], {2 * in[0].size(2), 2 * in[0].size(3), 2 * in[0].size(4)}, false));
  };
  return recomputed(run, {x});
}

at::Tensor SideImpl::forward(const at::Tensor& x) {
  auto h = first_->forward(x);
  for (const auto& level : levels_) {
    if (level.resample) h = resampled(level.resample, h);
    for (auto block : level.blocks) h = block->forward(h);
  }
  return last_->forward(norm_->forward(h));
}

}  // namespace x2ctpa::autoencoder_maisi
