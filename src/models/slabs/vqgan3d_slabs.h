// The VQ-GAN's encoder and decoder in slabs along D.
#pragma once

#include <string>
#include <vector>

#include "models/slabs/slab_stages.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa::slabs {

/// A convolution of either kind.
struct Layer {
  const vqgan3d::SamePadConvImpl* conv = nullptr;
  const vqgan3d::SamePadUpImpl* up = nullptr;
};

/// What lies between two changes of resolution.
struct Level {
  const vqgan3d::NormImpl* norm = nullptr;  ///< before the first layer, with SiLU; or none
  std::vector<Layer> layers;
  std::vector<const vqgan3d::ResBlockImpl*> blocks;
  bool finest = false;  ///< the one with the largest activations
};

std::vector<Level> encoder_levels(const vqgan3d::EncoderImpl& encoder,
                                  const vqgan3d::SamePadConvImpl& pre_vq);
std::vector<Level> decoder_levels(const vqgan3d::DecoderImpl& decoder,
                                  const vqgan3d::SamePadConvImpl& post_vq);

/// The fastest plan within `limit` for an input (B, C, D, H, W). Throws Error with
/// ExitCode::out_of_memory, `doing` as its beginning, when none fits.
MemoryPlan plan(const std::vector<Level>& levels, at::IntArrayRef input, const MemoryLimit& limit,
                const std::string& doing);

/// (B, C, D, H, W) through `levels`; float32, contiguous. Needs no gradients.
at::Tensor run(const std::vector<Level>& levels, const at::Tensor& input, const MemoryPlan& plan);

}  // namespace x2ctpa::slabs
