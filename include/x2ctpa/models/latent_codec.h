// The frozen autoencoder between volumes and latents, of either kind: the 3D VQ-GAN, or the 2D
// AutoencoderKL of Stable Diffusion applied slice by slice.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <memory>

namespace x2ctpa {

class LatentCodec {
 public:
  virtual ~LatentCodec() = default;

  /// (B, 1, D, H, W) in [-1, 1] -> (B, C, d, h, w). The VQ-GAN's latent before its codebook; the
  /// mean of the KL posterior times its scaling factor.
  virtual at::Tensor encode(const at::Tensor& volume) = 0;

  /// (B, C, d, h, w) -> (B, 1, D, H, W), not clamped.
  virtual at::Tensor decode(const at::Tensor& latent) = 0;
};

/// Loads the model folder `folder`; its config.yaml tells the kind. In evaluation mode on `device`.
std::unique_ptr<LatentCodec> load_latent_codec(const std::filesystem::path& folder, c10::Device device);

}  // namespace x2ctpa
