// The layers of the VQ-GAN, named as in the published code. Volumes are (B, C, D, H, W).
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <vector>

#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa::vqgan3d {

using Sizes = std::vector<int64_t>;

/// GroupNorm by sample, or BatchNorm with running averages, by Vqgan3dOptions::norm; then SiLU.
class NormImpl : public torch::nn::Module {
 public:
  NormImpl(int64_t channels, const Vqgan3dOptions& options);
  /// Normalised, then SiLU.
  at::Tensor forward(const at::Tensor& x);

  /// Whether forward() gives the same when it is called again.
  bool repeatable() const { return groups_ > 0; }
  int64_t groups() const { return groups_; }  ///< 0: batch norm
  double eps() const { return groups_ > 0 ? 1e-6 : 1e-5; }
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }
  const at::Tensor& running_mean() const { return mean_; }
  const at::Tensor& running_variance() const { return variance_; }

 private:
  int64_t groups_;
  at::Tensor weight_, bias_, mean_, variance_, batches_;
};
TORCH_MODULE(Norm);

/// A convolution after replicate padding that makes the output size / stride.
class SamePadConvImpl : public torch::nn::Module {
 public:
  SamePadConvImpl(int64_t in, int64_t out, int64_t kernel, const Sizes& stride = {1, 1, 1});
  at::Tensor forward(const at::Tensor& x);

  const torch::nn::Conv3d& conv() const { return conv_; }
  /// Slices before and after: W, H, D, as torch::pad takes them.
  const Sizes& padding() const { return padding_; }

 private:
  Sizes padding_;
  torch::nn::Conv3d conv_{nullptr};
};
TORCH_MODULE(SamePadConv);

/// A transposed convolution with kernel 4 after replicate padding: the output is size * stride.
class SamePadUpImpl : public torch::nn::Module {
 public:
  SamePadUpImpl(int64_t in, int64_t out, const Sizes& stride);
  at::Tensor forward(const at::Tensor& x);

  const torch::nn::ConvTranspose3d& conv() const { return conv_; }
  const Sizes& padding() const { return padding_; }

 private:
  Sizes padding_;
  torch::nn::ConvTranspose3d conv_{nullptr};
};
TORCH_MODULE(SamePadUp);

class ResBlockImpl : public torch::nn::Module {
 public:
  ResBlockImpl(int64_t channels, const Vqgan3dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  const NormImpl& norm1() const { return *norm1_; }
  const NormImpl& norm2() const { return *norm2_; }
  const SamePadConvImpl& conv1() const { return *conv1_; }
  const SamePadConvImpl& conv2() const { return *conv2_; }

 private:
  Norm norm1_{nullptr}, norm2_{nullptr};
  SamePadConv conv1_{nullptr}, conv2_{nullptr};
};
TORCH_MODULE(ResBlock);

class DownLevelImpl : public torch::nn::Module {
 public:
  DownLevelImpl(int64_t in, const Sizes& stride, const Vqgan3dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  const SamePadConvImpl& down() const { return *down_; }
  const ResBlockImpl& res() const { return *res_; }

 private:
  SamePadConv down_{nullptr};
  ResBlock res_{nullptr};
};
TORCH_MODULE(DownLevel);

class UpLevelImpl : public torch::nn::Module {
 public:
  UpLevelImpl(int64_t in, int64_t out, const Sizes& stride, const Vqgan3dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  const SamePadUpImpl& up() const { return *up_; }
  const ResBlockImpl& res1() const { return *res1_; }
  const ResBlockImpl& res2() const { return *res2_; }

 private:
  SamePadUp up_{nullptr};
  ResBlock res1_{nullptr}, res2_{nullptr};
};
TORCH_MODULE(UpLevel);

class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const Vqgan3dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  const SamePadConvImpl& first() const { return *first_; }
  std::vector<const DownLevelImpl*> levels() const;
  /// Before the last activation.
  const NormImpl& norm() const { return *last_norm_; }

 private:
  SamePadConv first_{nullptr};
  torch::nn::ModuleList levels_;
  torch::nn::Sequential final_block_;
  Norm last_norm_{nullptr};
};

class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const Vqgan3dOptions& options);
  at::Tensor forward(const at::Tensor& x);

  /// Before the first activation.
  const NormImpl& norm() const { return *first_norm_; }
  std::vector<const UpLevelImpl*> levels() const;
  const SamePadConvImpl& last() const { return *last_; }

 private:
  torch::nn::Sequential final_block_;
  Norm first_norm_{nullptr};
  torch::nn::ModuleList levels_;
  SamePadConv last_{nullptr};
};

}  // namespace x2ctpa::vqgan3d
