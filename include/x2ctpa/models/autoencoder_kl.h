// The 2D autoencoder of latent diffusion (Rombach et al., arXiv 2112.10752) with the layers and
// tensor names of diffusers' AutoencoderKL, as in Stable Diffusion. A diffusers folder's weights
// load as they are. Volumes go through it slice by slice.
//
// Pictures are (B, C, H, W) in [-1, 1]; latents (B, latent_channels, H / f, W / f) with f the
// size_factor(); volumes (B, 1, D, H, W) and their latents (B, latent_channels, D, h, w).
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <optional>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/latent_posterior.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa {

struct AutoencoderKlOptions {
  int64_t in_channels = 3;
  int64_t out_channels = 3;
  std::vector<int64_t> block_out_channels{128, 256, 512, 512};
  int64_t layers_per_block = 2;
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;
  double scaling_factor = 0.18215;

  void describe(OptionList& options);
};

namespace autoencoder_kl {
class EncoderImpl;
class DecoderImpl;
}  // namespace autoencoder_kl

class AutoencoderKlImpl : public torch::nn::Module {
 public:
  /// Throws Error when norm_num_groups does not divide every entry of block_out_channels.
  explicit AutoencoderKlImpl(AutoencoderKlOptions options = {});

  /// Pictures (B, in_channels, H, W) -> posterior; H and W must be multiples of size_factor().
  LatentPosterior encode(const at::Tensor& x);

  /// Latents (B, latent_channels, h, w), not scaled -> pictures (B, out_channels, H, W).
  at::Tensor decode(const at::Tensor& z);

  /// The latent of a grey volume, times scaling_factor: each slice, repeated to in_channels,
  /// encoded on its own, `slices_at_once` at a time. The posterior's mean, or with `sampled` a draw
  /// from it, as the paper does.
  at::Tensor encode_volume(const at::Tensor& volume, bool sampled = false,
                           std::optional<at::Generator> generator = {}, int64_t slices_at_once = 4);

  /// The inverse, (B, latent_channels, D, h, w) -> (B, 1, D, H, W): the mean of the decoded
  /// channels. Not clamped.
  at::Tensor decode_volume(const at::Tensor& latent, int64_t slices_at_once = 4);

  /// How many slices of a volume (B, 1, D, H, W), or of a latent of this shape, may go through at
  /// once: MemoryPlan::at_once, as `slices_at_once` of the two functions above. Throws Error with
  /// ExitCode::out_of_memory when `limit` is too small for one.
  MemoryPlan plan_encode_volume(at::IntArrayRef volume_shape, const MemoryLimit& limit) const;
  MemoryPlan plan_decode_volume(at::IntArrayRef latent_shape, const MemoryLimit& limit) const;

  /// H and W of a picture are this many times those of its latent.
  int64_t size_factor() const;

  const AutoencoderKlOptions& options() const { return options_; }

 private:
  AutoencoderKlOptions options_;
  std::shared_ptr<autoencoder_kl::EncoderImpl> encoder_;
  std::shared_ptr<autoencoder_kl::DecoderImpl> decoder_;
  torch::nn::Conv2d quant_conv_{nullptr}, post_quant_conv_{nullptr};
};
TORCH_MODULE(AutoencoderKl);

}  // namespace x2ctpa
