// The 3D vector-quantised autoencoder of the paper (X-ray2CTPA, after medicaldiffusion and TATS,
// arXiv 2204.03638): volume (B, C, D, H, W) <-> latent (B, embedding_dim, d, h, w).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/codebook.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa {

/// group: by sample; batch: over the batch, its averages in evaluation.
enum class Vqgan3dNorm { group, batch };
constexpr auto words(Vqgan3dNorm) { return std::array{"group", "batch"}; }

struct Vqgan3dOptions {
  int64_t channels = 1;
  int64_t hidden_channels = 16;
  int64_t embedding_dim = 8;
  int64_t codes = 16384;
  std::vector<int64_t> downsample{4, 4, 4};
  Vqgan3dNorm norm = Vqgan3dNorm::group;
  int64_t groups = 32;
  double commitment_weight = 0.25;
  double ema_decay = 0.99;
  bool random_restart = true;
  double restart_threshold = 1.0;

  void describe(OptionList& options);
};

struct Vqgan3dOutput {
  at::Tensor reconstruction;  ///< as the input
  at::Tensor z;               ///< (B, embedding_dim, d, h, w), before the codebook
  Quantised codes;
};

namespace vqgan3d {
class EncoderImpl;
class DecoderImpl;
class SamePadConvImpl;
}  // namespace vqgan3d

class Vqgan3dImpl : public torch::nn::Module {
 public:
  /// Throws Error when a downsampling factor is not a power of two or all of them are 1.
  explicit Vqgan3dImpl(Vqgan3dOptions options = {});

  /// (B, channels, D, H, W) in [-1, 1] -> z before the codebook; sizes must be multiples of
  /// `downsample`. This z is the latent that the diffusion model learns.
  at::Tensor encode(const at::Tensor& x);

  /// z -> codes and losses; in training mode the codebook learns. See Codebook.
  Quantised quantise(const at::Tensor& z, std::optional<at::Generator> generator = {});

  /// Latent (B, embedding_dim, d, h, w) -> volume; `quantise_first` replaces it by its nearest
  /// codes, which takes noise off a generated latent. Never trains the codebook.
  at::Tensor decode(const at::Tensor& latent, bool quantise_first = false);

  /// The fastest way within `limit` to encode or decode an input of this shape slab by slab. Throws
  /// Error with ExitCode::out_of_memory when there is none.
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, const MemoryLimit& limit) const;
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, const MemoryLimit& limit) const;

  /// encode() and decode() slab by slab, with the halo of each convolution and each norm's
  /// statistics over the whole volume: the same within 1e-5. Without gradients.
  at::Tensor encode(const at::Tensor& x, const MemoryPlan& plan);
  at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan, bool quantise_first = false);

  /// encode, quantise, decode.
  Vqgan3dOutput forward(const at::Tensor& x, std::optional<at::Generator> generator = {});

  /// (d, h, w) of the latent of a volume of `size_dhw`.
  std::vector<int64_t> latent_size(const std::vector<int64_t>& size_dhw) const;

  const Vqgan3dOptions& options() const { return options_; }
  Codebook codebook() const { return codebook_; }

 private:
  Vqgan3dOptions options_;
  std::shared_ptr<vqgan3d::EncoderImpl> encoder_;
  std::shared_ptr<vqgan3d::DecoderImpl> decoder_;
  std::shared_ptr<vqgan3d::SamePadConvImpl> pre_vq_, post_vq_;
  Codebook codebook_{nullptr};
};
TORCH_MODULE(Vqgan3d);

}  // namespace x2ctpa
