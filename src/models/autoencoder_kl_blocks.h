// The layers of the 2D autoencoder; tensors are (B, C, H, W) in channels-last byte order.
#pragma once

#include <ATen/ATen.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "x2ctpa/models/autoencoder_kl.h"

namespace x2ctpa::autoencoder_kl {

/// GroupNorm and SiLU, then a convolution, twice; the input joins the result, through a 1x1
/// convolution where the channels change.
class ResnetBlockImpl : public torch::nn::Module {
 public:
  ResnetBlockImpl(int64_t in, int64_t out, int64_t groups);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::GroupNorm norm1_{nullptr}, norm2_{nullptr};
  torch::nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv_shortcut_{nullptr};
};
TORCH_MODULE(ResnetBlock);

/// Attention of one head over all pixels, added to its input.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(int64_t channels, int64_t groups);
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::GroupNorm group_norm_{nullptr};
  torch::nn::Linear to_q_{nullptr}, to_k_{nullptr}, to_v_{nullptr};
  torch::nn::ModuleList to_out_;
};
TORCH_MODULE(Attention);

class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const AutoencoderKlOptions& options);
  /// Pictures -> mean and logvar side by side: (B, 2 latent_channels, h, w).
  at::Tensor forward(const at::Tensor& x);

 private:
  torch::nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  torch::nn::ModuleList down_blocks_;
  torch::nn::GroupNorm conv_norm_out_{nullptr};
  torch::nn::AnyModule mid_block_;
};

class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const AutoencoderKlOptions& options);
  at::Tensor forward(const at::Tensor& z);

 private:
  torch::nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  torch::nn::ModuleList up_blocks_;
  torch::nn::GroupNorm conv_norm_out_{nullptr};
  torch::nn::AnyModule mid_block_;
};

}  // namespace x2ctpa::autoencoder_kl
