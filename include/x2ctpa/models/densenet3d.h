// The DenseNet (arXiv 1608.06993) that the paper classifies latents with: 3D, or planar for X-rays.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct DenseNet3dOptions {
  int64_t depth = 121;
  std::vector<int64_t> blocks;
  int64_t channels = 1;
  bool planar = false;
  int64_t growth = 32;
  int64_t init_features = 64;
  int64_t bottleneck = 4;
  double drop_rate = 0.2;
  int64_t classes = 1;

  void describe(OptionList& options);
};

class DenseNet3dImpl : public torch::nn::Module {
 public:
  /// Throws Error when `depth` is not 121, 169, 201 or 264 and `blocks` is empty.
  explicit DenseNet3dImpl(DenseNet3dOptions options = {});

  /// Logits (B, classes) of (B, channels, D, H, W), or of (B, channels, H, W) when planar.
  at::Tensor forward(const at::Tensor& x);

  /// What the last layer sees: the pooled features (B, F) of the same input.
  at::Tensor features(const at::Tensor& x);

  const DenseNet3dOptions& options() const { return options_; }

 private:
  DenseNet3dOptions options_;
  torch::nn::Sequential features_;
  torch::nn::Linear classifier_{nullptr};
};
TORCH_MODULE(DenseNet3d);

}  // namespace x2ctpa
