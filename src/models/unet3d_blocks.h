// The parts of Unet3d. Every feature tensor here is (B, D, H, W, C), contiguous.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <array>
#include <memory>

namespace x2ctpa::unet3d {

/// What every block needs besides the features, computed once a forward.
struct Condition {
  at::Tensor embedding;      ///< (B, time_dim + cond_dim), SiLU applied
  at::Tensor position_bias;  ///< (heads, D, D)
  at::Tensor rotation;       ///< (D, head_dim / 2, 2) float32: cosine and sine of the rotary angles
};

/// A convolution within slices: kernel (1, k, k). Weights have the shape of Conv3d's.
class PlanarConvImpl : public torch::nn::Module {
 public:
  enum class Kind { same, down, up };
  /// same: odd kernel, padded; down: kernel 4, stride 2; up: transposed kernel 4, stride 2.
  PlanarConvImpl(int64_t in, int64_t out, int64_t kernel, Kind kind = Kind::same);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  Kind kind_;
  int64_t kernel_;
  at::Tensor weight_, bias_;
};

/// Convolution, GroupNorm, scale and shift, SiLU.
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t in, int64_t out, int64_t groups);
  /// `scale_shift` (B, 2 out) may be undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& scale_shift) const;

 private:
  int64_t groups_;
  std::shared_ptr<PlanarConvImpl> proj_;
  torch::nn::GroupNorm norm_{nullptr};
};

class ResnetBlockImpl : public torch::nn::Module {
 public:
  /// `embedding_dim` 0: without scale and shift.
  ResnetBlockImpl(int64_t in, int64_t out, int64_t embedding_dim, int64_t groups);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& embedding) const;

 private:
  torch::nn::Linear mlp_{nullptr};
  std::shared_ptr<BlockImpl> block1_, block2_;
  std::shared_ptr<PlanarConvImpl> res_conv_;
};

/// LayerNorm over channels without bias.
class ChannelNormImpl : public torch::nn::Module {
 public:
  explicit ChannelNormImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x) const;

 private:
  at::Tensor weight_;
};

/// x + attention among the pixels of each slice: linear (arXiv 1812.01243) or softmax.
class SpatialAttentionImpl : public torch::nn::Module {
 public:
  SpatialAttentionImpl(int64_t channels, int64_t heads, bool linear);
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor linear_attention(const at::Tensor& x);
  at::Tensor softmax_attention(const at::Tensor& x);

  int64_t heads_;
  bool linear_;
  std::shared_ptr<ChannelNormImpl> norm_;
  torch::nn::Linear to_qkv_{nullptr}, to_out_{nullptr};
};

/// x + attention along D at each pixel, with rotary embedding (arXiv 2104.09864) and relative
/// position bias.
class TemporalAttentionImpl : public torch::nn::Module {
 public:
  TemporalAttentionImpl(int64_t channels, int64_t heads);
  at::Tensor forward(const at::Tensor& x, const Condition& condition);

 private:
  int64_t heads_;
  std::shared_ptr<ChannelNormImpl> norm_;
  torch::nn::Linear to_qkv_{nullptr}, to_out_{nullptr};
};

/// Relative position bias with logarithmic buckets (T5, arXiv 1910.10683): 32 buckets, distances
/// up to 32 slices.
class PositionBiasImpl : public torch::nn::Module {
 public:
  explicit PositionBiasImpl(int64_t heads);
  at::Tensor forward(int64_t depth);  ///< (heads, D, D)

 private:
  at::Tensor weight_;   // (buckets, heads)
  at::Tensor buckets_;  // (D * D) of the last depth
};

/// 10000^(-2 i / head_dim), (head_dim / 2) float32.
at::Tensor rotary_frequencies();

/// Cosine and sine of the rotary angles, (depth, head_dim / 2, 2), float32.
at::Tensor rotary_table(int64_t depth, const at::Tensor& frequencies);

/// Sinusoidal embedding of t (B), (B, dim) float32.
at::Tensor sinusoidal_embedding(const at::Tensor& t, int64_t dim);

}  // namespace x2ctpa::unet3d
