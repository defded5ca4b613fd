// A convolutional 3D autoencoder without a codebook: volume (B, C, D, H, W) <-> latent
// (B, latent_channels, d, h, w). Space goes to depth before anything is computed, so no layer works
// at full resolution; its norms (RMS over the channels of a voxel, arXiv 1910.07467) know nothing
// of other places. With kl_weight above 0 it is a variational one (arXiv 1312.6114).
//
// Beside the network runs a linear map of each block of voxels, which training starts with the
// principal components of the blocks: the best that a linear autoencoder of this size can do. The
// network begins at zero and learns what is missing.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/latent_posterior.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa {

struct ConvAutoencoder3dOptions {
  int64_t channels = 1;
  std::vector<int64_t> widths{24, 64};
  std::vector<int64_t> blocks{1, 2};
  std::vector<int64_t> decoder_blocks{1, 3};
  int64_t latent_channels = 8;
  std::vector<int64_t> downsample{4, 4, 4};
  double kl_weight = 0;

  /// Whether latents have a variance.
  bool variational() const { return kl_weight > 0; }
  void describe(OptionList& options);
};

struct ConvAutoencoder3dOutput {
  at::Tensor reconstruction;  ///< as the input
  LatentPosterior posterior;
};

namespace conv_autoencoder3d {
class StepsImpl;
}  // namespace conv_autoencoder3d

class ConvAutoencoder3dImpl : public torch::nn::Module {
 public:
  /// Throws Error when a downsampling factor is not a power of two, all of them are 1, or widths,
  /// blocks and decoder_blocks do not have one entry for each level: each time that a factor is
  /// halved.
  explicit ConvAutoencoder3dImpl(ConvAutoencoder3dOptions options = {});

  /// (B, channels, D, H, W) in [-1, 1] -> posterior of the latent; sizes must be multiples of
  /// `downsample`.
  LatentPosterior posterior(const at::Tensor& x);

  /// Its mean, which is the latent that the diffusion model learns.
  at::Tensor encode(const at::Tensor& x) { return posterior(x).mean; }

  /// Latent (B, latent_channels, d, h, w) -> volume.
  at::Tensor decode(const at::Tensor& latent);

  /// The linear part of decode(): principal components of blocks, to which the network adds.
  at::Tensor linear_volume(const at::Tensor& latent);

  /// slices_at(decode(latent), place), computed from the part of the latent that they depend on.
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place);

  /// The fastest way within `limit` to encode or decode an input of this shape slab by slab. Throws
  /// Error with ExitCode::out_of_memory when there is none.
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, const MemoryLimit& limit) const;
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, const MemoryLimit& limit) const;

  /// encode() and decode() slab by slab: each convolution keeps the slices that its next output
  /// needs, so nothing is computed twice and the result is that of the undivided, but for
  /// rounding. Without gradients.
  at::Tensor encode(const at::Tensor& x, const MemoryPlan& plan);
  at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan);

  /// Encode and decode: in training mode a sample of the posterior, from `generator` (CPU; the
  /// global one by default), else its mean.
  ConvAutoencoder3dOutput forward(const at::Tensor& x, std::optional<at::Generator> generator = {});

  /// Sets the linear maps to the principal components of the blocks of volumes `volume(i)`
  /// (channels, D, H, W), i below `count`, and what the network adds to zero.
  void start_from_components(int64_t count, const std::function<at::Tensor(int64_t)>& volume);

  /// (d, h, w) of the latent of a volume of `size_dhw`.
  std::vector<int64_t> latent_size(const std::vector<int64_t>& size_dhw) const;

  const ConvAutoencoder3dOptions& options() const { return options_; }

 private:
  void check_volume(const at::Tensor& x) const;
  void check_latent(const at::Tensor& latent) const;
  /// A volume's blocks as the channels of a latent's voxel.
  at::Tensor linear_latent(const at::Tensor& x);

  ConvAutoencoder3dOptions options_;
  std::shared_ptr<conv_autoencoder3d::StepsImpl> encoder_, decoder_;
  torch::nn::Conv3d linear_encoder_{nullptr}, linear_decoder_{nullptr};
};
TORCH_MODULE(ConvAutoencoder3d);

}  // namespace x2ctpa
