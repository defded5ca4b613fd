// The VQ-GAN's encoder and decoder as the slabs see them.
#pragma once

#include <vector>

#include "models/slabs/slab_layers.h"
#include "models/vqgan3d_blocks.h"

namespace x2ctpa::slabs {

std::vector<Level> encoder_levels(const vqgan3d::EncoderImpl& encoder,
                                  const vqgan3d::SamePadConvImpl& pre_vq);
std::vector<Level> decoder_levels(const vqgan3d::DecoderImpl& decoder,
                                  const vqgan3d::SamePadConvImpl& post_vq);

}  // namespace x2ctpa::slabs
