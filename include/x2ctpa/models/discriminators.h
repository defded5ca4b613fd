// PatchGAN discriminators (Isola et al., arXiv 1611.07004): those of the published 3D VQ-GAN, on
// slices and on volumes (TATS, arXiv 2204.03638), and MONAI's on latents.
// The tensor names are those of the published checkpoints.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

/// What a discriminator says of each patch, and the features on the way.
struct PatchLogits {
  at::Tensor logits;                 ///< (B, 1, ...), high where the patch looks real
  std::vector<at::Tensor> features;  ///< after each stage; the last is `logits`
};

struct PatchDiscriminatorOptions {
  int64_t spatial_dims = 3;
  int64_t channels = 1;
  int64_t hidden_channels = 64;
  int64_t layers = 3;

  void describe(OptionList& options);
};

/// That of the VQ-GAN: stages "model0" to "model<layers + 1>".
class PatchDiscriminatorImpl : public torch::nn::Module {
 public:
  explicit PatchDiscriminatorImpl(PatchDiscriminatorOptions options = {});

  /// (B, channels, H, W), or (B, channels, D, H, W) with three spatial dimensions.
  PatchLogits forward(const at::Tensor& x);

  const PatchDiscriminatorOptions& options() const { return options_; }

 private:
  PatchDiscriminatorOptions options_;
  std::vector<torch::nn::Sequential> stages_;
};
TORCH_MODULE(PatchDiscriminator);

struct DiscriminatorPairOptions {
  int64_t channels = 1;
  int64_t hidden_channels = 64;
  int64_t layers = 3;

  void describe(OptionList& options);
};

/// The two discriminators of the VQ-GAN, as in its checkpoint.
class DiscriminatorPairImpl : public torch::nn::Module {
 public:
  explicit DiscriminatorPairImpl(DiscriminatorPairOptions options = {});

  PatchLogits slices(const at::Tensor& x);   ///< (B, channels, H, W)
  PatchLogits volumes(const at::Tensor& x);  ///< (B, channels, D, H, W)

  const DiscriminatorPairOptions& options() const { return options_; }

 private:
  DiscriminatorPairOptions options_;
  PatchDiscriminator image_{nullptr}, video_{nullptr};
};
TORCH_MODULE(DiscriminatorPair);

struct LatentDiscriminatorOptions {
  int64_t channels = 4;
  int64_t hidden_channels = 32;
  int64_t layers = 4;
  int64_t kernel = 3;

  void describe(OptionList& options);
};

/// The paper's discriminator of latents: MONAI's 3D PatchDiscriminator.
class LatentDiscriminatorImpl : public torch::nn::Module {
 public:
  explicit LatentDiscriminatorImpl(LatentDiscriminatorOptions options = {});

  /// (B, channels, D, H, W).
  PatchLogits forward(const at::Tensor& x);

  const LatentDiscriminatorOptions& options() const { return options_; }

 private:
  LatentDiscriminatorOptions options_;
  std::vector<torch::nn::Sequential> stages_;
};
TORCH_MODULE(LatentDiscriminator);

}  // namespace x2ctpa
