// The frozen autoencoder between volumes and latents, of any kind: the 3D VQ-GAN, the convolutional
// autoencoder, the 2D AutoencoderKL of Stable Diffusion applied slice by slice, or MAISI's.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <filesystem>
#include <memory>

#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa {

/// The 3D VQ-GAN or the convolutional autoencoder, which are trained; or Stable Diffusion's
/// autoencoder or MAISI's, which are converted.
enum class AutoencoderKind { vqgan, conv, kl, maisi };
constexpr auto words(AutoencoderKind) { return std::array{"vqgan", "conv", "kl", "maisi"}; }

/// Slice floor(place * D) of each volume (B, C, D, H, W): (B, C, H, W). `place` (B) in [0, 1), on
/// the CPU. Differentiable.
at::Tensor slices_at(const at::Tensor& volumes, const at::Tensor& place);

class LatentCodec {
 public:
  virtual ~LatentCodec() = default;

  /// The fastest way to take an input of this shape in at most `bytes`. Throws Error with
  /// ExitCode::out_of_memory when there is none.
  virtual MemoryPlan plan_encode(at::IntArrayRef volume_shape, int64_t bytes) const = 0;
  virtual MemoryPlan plan_decode(at::IntArrayRef latent_shape, int64_t bytes) const = 0;

  /// (B, 1, D, H, W) in [-1, 1] -> (B, C, d, h, w). The VQ-GAN's latent before its codebook;
  /// the mean of a posterior, AutoencoderKL's times its scaling factor.
  virtual at::Tensor encode(const at::Tensor& volume, const MemoryPlan& plan) = 0;

  /// (B, C, d, h, w) -> (B, 1, D, H, W), not clamped.
  virtual at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan) = 0;

  /// slices_at() of the volumes that latents (B, C, d, h, w) decode to: (B, 1, H, W) float32.
  /// Gradients flow to the latent, none to the autoencoder. The VQ-GAN decodes whole volumes for
  /// it, the convolutional autoencoder the part around the slice.
  virtual at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) = 0;

  /// decode() of the whole at once. Gradients flow to the latent, none to the autoencoder. Those of
  /// the convolutional autoencoder are of its linear part alone, which costs next to nothing; the
  /// others keep what gradients need, several times the memory of decode().
  virtual at::Tensor decode_with_gradient(const at::Tensor& latent) = 0;

  /// The volume of `other`, which is close to `latent`, whose volume is `volume`; by the same parts
  /// as the gradient, so that it is of first order for the convolutional autoencoder.
  virtual at::Tensor decode_near(const at::Tensor& latent, const at::Tensor& volume,
                                 const at::Tensor& other);

  /// A VQ-GAN's latent with every vector replaced by its nearest code; another kind's as it is.
  virtual at::Tensor nearest_codes(const at::Tensor& latent) { return latent; }

  /// The same in the fastest way, whatever memory it takes.
  at::Tensor encode(const at::Tensor& volume);
  at::Tensor decode(const at::Tensor& latent);
};

/// The kind of the autoencoder in the model folder `folder`; its config.yaml tells.
AutoencoderKind autoencoder_kind(const std::filesystem::path& folder);

/// Loads the autoencoder in the model folder `folder`, of any kind, and hides the form in which it
/// takes volumes (volume_form.h). In evaluation mode on `device`.
/// `type` is the number format of convolutions; statistics, input and output are float32.
std::unique_ptr<LatentCodec> load_latent_codec(const std::filesystem::path& folder,
                                               c10::Device device,
                                               c10::ScalarType type = c10::kFloat);

}  // namespace x2ctpa
