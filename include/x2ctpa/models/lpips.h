// LPIPS, the learned perceptual distance (Zhang et al., arXiv 1801.03924): features of VGG-16
// (arXiv 1409.1556) under torchvision's names, compared through the published linear layers.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <utility>
#include <vector>

namespace x2ctpa {

class LpipsImpl : public torch::nn::Module {
 public:
  /// The parameters are frozen; they come from a model folder.
  LpipsImpl();

  /// Distances (B) of pictures (B, 3, H, W), or (B, 1, H, W) taken as grey, in [-1, 1]; H and W at
  /// least 16. Differentiable in both.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& y);

 private:
  std::vector<at::Tensor> features(const at::Tensor& x);

  std::vector<std::vector<torch::nn::Conv2d>> blocks_;  // a pooling lies between two blocks
  std::vector<torch::nn::Conv2d> linear_;
};
TORCH_MODULE(Lpips);

}  // namespace x2ctpa
