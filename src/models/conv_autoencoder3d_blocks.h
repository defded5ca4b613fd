// The layers of the convolutional autoencoder. Volumes are (B, C, D, H, W), in memory with the
// channels last.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>
#include <vector>

#include "x2ctpa/models/conv_autoencoder3d.h"

namespace x2ctpa::conv_autoencoder3d {

using Sizes = std::vector<int64_t>;

/// (B, C, D, H, W) -> (B, a b c C, D / a, H / b, W / c): a voxel's channels are the a x b x c
/// voxels that it stands for, the last axis fastest, each with its C channels together.
at::Tensor space_to_depth(const at::Tensor& x, const Sizes& factors);
/// The inverse.
at::Tensor depth_to_space(const at::Tensor& x, const Sizes& factors);

/// x / sqrt(mean of x^2 over the channels) * weight, by voxel.
class RmsNormImpl : public torch::nn::Module {
 public:
  explicit RmsNormImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x);

 private:
  at::Tensor weight_;  // (C)
};
TORCH_MODULE(RmsNorm);

/// x + conv2(silu(conv1(norm(x)))); conv2 begins as zero.
class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(int64_t channels);
  at::Tensor forward(const at::Tensor& x);

  const RmsNorm& norm() const { return norm_; }
  const torch::nn::Conv3d& conv1() const { return conv1_; }
  const torch::nn::Conv3d& conv2() const { return conv2_; }

 private:
  RmsNorm norm_{nullptr};
  torch::nn::Conv3d conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(Block);

/// One of these.
struct Step {
  Sizes to_depth{}, to_space{};  ///< factors along D, H, W
  torch::nn::Conv3d conv{nullptr};
  Block block{nullptr};
  RmsNorm norm{nullptr};
};

/// The encoder or the decoder: steps one after the other.
class StepsImpl : public torch::nn::Module {
 public:
  void add_to_depth(const Sizes& factors);
  void add_to_space(const Sizes& factors);
  /// Kernel 1 or 3, with zeros around the volume.
  void add_conv(const std::string& name, int64_t in, int64_t out, int64_t kernel);
  void add_blocks(const std::string& name, int64_t count, int64_t channels);
  void add_norm(const std::string& name, int64_t channels);

  at::Tensor forward(const at::Tensor& x);
  /// Sets the weights of the last convolution to zero.
  void end_at_zero();
  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::vector<Step> steps_;
};

std::shared_ptr<StepsImpl> make_encoder(const ConvAutoencoder3dOptions& options);
std::shared_ptr<StepsImpl> make_decoder(const ConvAutoencoder3dOptions& options);

}  // namespace x2ctpa::conv_autoencoder3d
