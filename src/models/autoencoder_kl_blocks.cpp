#include "models/autoencoder_kl_blocks.h"

#include <string>
#include <vector>

#include "models/kernels/norm_silu.h"

namespace x2ctpa::autoencoder_kl {
namespace {

torch::nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                       int64_t padding = -1) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .stride(stride)
                               .padding(padding < 0 ? kernel / 2 : padding));
}

torch::nn::GroupNorm group_norm(int64_t channels, int64_t groups) {
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels).eps(1e-6));
}

// The norm in channels-last order, whichever order its kernel prefers.
at::Tensor normalise(torch::nn::GroupNorm& norm, const at::Tensor& x) {
  return norm->forward(x).contiguous(at::MemoryFormat::ChannelsLast);
}

// Halves the picture: a convolution of stride 2 after padding at the right and the bottom.
class DownsampleImpl : public torch::nn::Module {
 public:
  explicit DownsampleImpl(int64_t channels) {
    conv_ = register_module("conv", conv(channels, channels, 3, 2, 0));
  }
  at::Tensor forward(const at::Tensor& x) {
    return conv_->forward(at::constant_pad_nd(x, {0, 1, 0, 1}));
  }

 private:
  torch::nn::Conv2d conv_{nullptr};
};
TORCH_MODULE(Downsample);

// The kernel (in, out, 4, 4) of the transposed convolution that equals doubling a picture by its
// nearest pixels and convolving it with `weight` (out, in, 3, 3): each of its pixels meets the
// sum of the taps that fall on its copies.
at::Tensor with_doubling(const at::Tensor& weight) {
  const auto taps = weight.transpose(0, 1).flip({2, 3});
  const auto rows = at::constant_pad_nd(taps, {0, 1}) + at::constant_pad_nd(taps, {1, 0});
  return at::constant_pad_nd(rows, {0, 0, 0, 1}) + at::constant_pad_nd(rows, {0, 0, 1, 0});
}

// Doubles the picture by its nearest pixels, then convolves; as one transposed convolution, with
// 16 products per pixel and channel in the place of 36.
class UpsampleImpl : public torch::nn::Module {
 public:
  explicit UpsampleImpl(int64_t channels) {
    conv_ = register_module("conv", conv(channels, channels, 3));
  }
  at::Tensor forward(const at::Tensor& x) {
    return at::conv_transpose2d(x, with_doubling(conv_->weight), conv_->bias, /*stride=*/2,
                                /*padding=*/1);
  }

 private:
  torch::nn::Conv2d conv_{nullptr};
};
TORCH_MODULE(Upsample);

// Residual blocks, then a change of resolution unless `resampler` is empty. Its name is that of
// diffusers, "downsamplers" or "upsamplers".
class LevelImpl : public torch::nn::Module {
 public:
  LevelImpl(int64_t in, int64_t out, int64_t layers, int64_t groups, const std::string& resampler) {
    for (int64_t i = 0; i < layers; ++i) {
      resnets_->push_back(ResnetBlock(i == 0 ? in : out, out, groups));
    }
    register_module("resnets", resnets_);
    if (resampler.empty()) return;
    torch::nn::ModuleList list;
    if (resampler == "downsamplers") {
      list->push_back(down_ = Downsample(out));
    } else {
      list->push_back(up_ = Upsample(out));
    }
    register_module(resampler, list);
  }
  at::Tensor forward(at::Tensor x) {
    for (const auto& block : *resnets_) x = block->as<ResnetBlock>()->forward(x);
    if (down_) return down_->forward(x);
    return up_ ? up_->forward(x) : x;
  }

 private:
  torch::nn::ModuleList resnets_;
  Downsample down_{nullptr};
  Upsample up_{nullptr};
};
TORCH_MODULE(Level);

class MidBlockImpl : public torch::nn::Module {
 public:
  MidBlockImpl(int64_t channels, int64_t groups) {
    resnets_->push_back(ResnetBlock(channels, channels, groups));
    resnets_->push_back(ResnetBlock(channels, channels, groups));
    attentions_->push_back(Attention(channels, groups));
    register_module("resnets", resnets_);
    register_module("attentions", attentions_);
  }
  at::Tensor forward(at::Tensor x) {
    x = resnets_[0]->as<ResnetBlock>()->forward(x);
    x = attentions_[0]->as<Attention>()->forward(x);
    return resnets_[1]->as<ResnetBlock>()->forward(x);
  }

 private:
  torch::nn::ModuleList resnets_, attentions_;
};
TORCH_MODULE(MidBlock);

}  // namespace

ResnetBlockImpl::ResnetBlockImpl(int64_t in, int64_t out, int64_t groups) {
  norm1_ = register_module("norm1", group_norm(in, groups));
  conv1_ = register_module("conv1", conv(in, out, 3));
  norm2_ = register_module("norm2", group_norm(out, groups));
  conv2_ = register_module("conv2", conv(out, out, 3));
  if (in != out) conv_shortcut_ = register_module("conv_shortcut", conv(in, out, 1));
}

at::Tensor ResnetBlockImpl::forward(const at::Tensor& x) {
  auto h = conv1_->forward(activate(normalise(norm1_, x)));
  h = conv2_->forward(activate(normalise(norm2_, h)));
  return h.add_(conv_shortcut_ ? conv_shortcut_->forward(x) : x);
}

AttentionImpl::AttentionImpl(int64_t channels, int64_t groups) {
  group_norm_ = register_module("group_norm", group_norm(channels, groups));
  to_q_ = register_module("to_q", torch::nn::Linear(channels, channels));
  to_k_ = register_module("to_k", torch::nn::Linear(channels, channels));
  to_v_ = register_module("to_v", torch::nn::Linear(channels, channels));
  to_out_->push_back(torch::nn::Linear(channels, channels));
  register_module("to_out", to_out_);
}

at::Tensor AttentionImpl::forward(const at::Tensor& x) {
  // In channels-last order pixels are rows already: (B, 1 head, H W, C) without a copy.
  const auto rows = normalise(group_norm_, x).permute({0, 2, 3, 1}).flatten(1, 2).unsqueeze(1);
  auto h = at::scaled_dot_product_attention(to_q_->forward(rows), to_k_->forward(rows),
                                            to_v_->forward(rows));
  h = to_out_[0]->as<torch::nn::Linear>()->forward(h.squeeze(1));
  return h.view({x.size(0), x.size(2), x.size(3), x.size(1)}).permute({0, 3, 1, 2}).add(x);
}

EncoderImpl::EncoderImpl(const AutoencoderKlOptions& o) {
  const auto& widths = o.block_out_channels;
  conv_in_ = register_module("conv_in", conv(o.in_channels, widths.front(), 3));
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool last = i + 1 == widths.size();
    down_blocks_->push_back(Level(widths[i == 0 ? 0 : i - 1], widths[i], o.layers_per_block,
                                  o.norm_num_groups, last ? "" : "downsamplers"));
  }
  register_module("down_blocks", down_blocks_);
  MidBlock mid(widths.back(), o.norm_num_groups);
  mid_block_ = torch::nn::AnyModule(register_module("mid_block", mid));
  conv_norm_out_ = register_module("conv_norm_out", group_norm(widths.back(), o.norm_num_groups));
  conv_out_ = register_module("conv_out", conv(widths.back(), 2 * o.latent_channels, 3));
}

at::Tensor EncoderImpl::forward(const at::Tensor& x) {
  auto h = conv_in_->forward(x.contiguous(at::MemoryFormat::ChannelsLast));
  for (const auto& level : *down_blocks_) h = level->as<Level>()->forward(h);
  h = mid_block_.forward(h);
  return conv_out_->forward(activate(normalise(conv_norm_out_, h)));
}

DecoderImpl::DecoderImpl(const AutoencoderKlOptions& o) {
  const std::vector<int64_t> widths(o.block_out_channels.rbegin(), o.block_out_channels.rend());
  conv_in_ = register_module("conv_in", conv(o.latent_channels, widths.front(), 3));
  MidBlock mid(widths.front(), o.norm_num_groups);
  mid_block_ = torch::nn::AnyModule(register_module("mid_block", mid));
  for (size_t i = 0; i < widths.size(); ++i) {
    const bool last = i + 1 == widths.size();
    up_blocks_->push_back(Level(widths[i == 0 ? 0 : i - 1], widths[i], o.layers_per_block + 1,
                                o.norm_num_groups, last ? "" : "upsamplers"));
  }
  register_module("up_blocks", up_blocks_);
  conv_norm_out_ = register_module("conv_norm_out", group_norm(widths.back(), o.norm_num_groups));
  conv_out_ = register_module("conv_out", conv(widths.back(), o.out_channels, 3));
}

at::Tensor DecoderImpl::forward(const at::Tensor& z) {
  auto h = conv_in_->forward(z.contiguous(at::MemoryFormat::ChannelsLast));
  h = mid_block_.forward(h);
  for (const auto& level : *up_blocks_) h = level->as<Level>()->forward(h);
  return conv_out_->forward(activate(normalise(conv_norm_out_, h)));
}

}  // namespace x2ctpa::autoencoder_kl
