// The layers of MAISI's autoencoder. Volumes are (B, C, X, Y, Z).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "x2ctpa/models/autoencoder_maisi.h"

namespace x2ctpa::autoencoder_maisi {

/// A convolution of kernel 1 or 3 that keeps the size.
torch::nn::Conv3d convolution(int64_t in, int64_t out, int64_t kernel);

/// GroupNorm, SiLU and convolution, twice, added to the input.
class ResBlockImpl : public torch::nn::Module {
 public:
  ResBlockImpl(int64_t in, int64_t out, int64_t groups);
  at::Tensor forward(const at::Tensor& x);

  const torch::nn::GroupNorm& norm1() const { return norm1_; }
  const torch::nn::GroupNorm& norm2() const { return norm2_; }
  const torch::nn::Conv3d& conv1() const { return conv1_; }
  const torch::nn::Conv3d& conv2() const { return conv2_; }
  const torch::nn::Conv3d& shortcut() const { return nin_shortcut_; }  ///< may be empty

 private:
  torch::nn::GroupNorm norm1_{nullptr}, norm2_{nullptr};
  torch::nn::Conv3d conv1_{nullptr}, conv2_{nullptr}, nin_shortcut_{nullptr};
};
TORCH_MODULE(ResBlock);

/// What is computed at one size: `resample`, which brings the level before to this size (empty in
/// the first), then the blocks.
struct Level {
  torch::nn::Conv3d resample{nullptr};
  std::vector<ResBlock> blocks;
};

enum class Direction { down, up };

/// The encoder or the decoder. Downwards a convolution of stride 2 follows a zero at the far end of
/// each axis; upwards a convolution follows linear interpolation to twice the size.
class SideImpl : public torch::nn::Module {
 public:
  /// `widths` and `blocks` of each level in the order in which they run.
  SideImpl(Direction direction, int64_t in, const std::vector<int64_t>& widths,
           const std::vector<int64_t>& blocks, int64_t out, int64_t groups);
  at::Tensor forward(const at::Tensor& x);

  Direction direction() const { return direction_; }
  const torch::nn::Conv3d& first() const { return first_; }
  const std::vector<Level>& levels() const { return levels_; }
  const torch::nn::GroupNorm& norm() const { return norm_; }  ///< no activation follows it
  const torch::nn::Conv3d& last() const { return last_; }

 private:
  at::Tensor resampled(torch::nn::Conv3d conv, const at::Tensor& x) const;

  Direction direction_;
  torch::nn::Conv3d first_{nullptr}, last_{nullptr};
  torch::nn::GroupNorm norm_{nullptr};
  std::vector<Level> levels_;
  torch::nn::ModuleList blocks_;  // all of the above, as the published weights count them
};

}  // namespace x2ctpa::autoencoder_maisi
