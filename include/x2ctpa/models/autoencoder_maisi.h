// The 3D autoencoder of MAISI (Guo et al., arXiv 2409.11169), MONAI's AutoencoderKlMaisi: residual
// blocks with GroupNorm, no attention, a Gaussian latent. MONAI's splits of a convolution change
// nothing but its memory; here volumes go in slabs instead.
//
// Volumes are (B, 1, X, Y, Z) in [0, 1], along the axes of the published code: from the patient's
// left to right, from posterior to anterior, from inferior to superior. Latents are
// (B, latent_channels, X / f, Y / f, Z / f) with f the size_factor().
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/latent_posterior.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa {

struct AutoencoderMaisiOptions {
  std::vector<int64_t> num_channels{64, 128, 256};
  std::vector<int64_t> num_res_blocks{2, 2, 2};
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;

  void describe(OptionList& options);
};

namespace autoencoder_maisi {
class SideImpl;
}  // namespace autoencoder_maisi

class AutoencoderMaisiImpl : public torch::nn::Module {
 public:
  /// Throws Error when num_res_blocks has not an entry for each of num_channels, or norm_num_groups
  /// does not divide one of them.
  explicit AutoencoderMaisiImpl(AutoencoderMaisiOptions options = {});

  /// Volumes whose sizes are multiples of size_factor() -> posterior.
  LatentPosterior encode(const at::Tensor& x);

  /// Latents -> volumes, not clamped.
  at::Tensor decode(const at::Tensor& z);

  /// The fastest way within `limit`. Throws Error with ExitCode::out_of_memory when there is none.
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, const MemoryLimit& limit) const;
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, const MemoryLimit& limit) const;

  /// encode().mean and decode() in slabs, without gradients.
  at::Tensor encode(const at::Tensor& x, const MemoryPlan& plan);
  at::Tensor decode(const at::Tensor& z, const MemoryPlan& plan);

  /// An axis of a volume is this many times as long as that of its latent.
  int64_t size_factor() const;

  const AutoencoderMaisiOptions& options() const { return options_; }

 private:
  void check_volume(const at::Tensor& x) const;

  AutoencoderMaisiOptions options_;
  std::shared_ptr<autoencoder_maisi::SideImpl> encoder_, decoder_;
  torch::nn::Conv3d quant_conv_mu_{nullptr}, quant_conv_log_sigma_{nullptr};
  torch::nn::Conv3d post_quant_conv_{nullptr};
};
TORCH_MODULE(AutoencoderMaisi);

}  // namespace x2ctpa
