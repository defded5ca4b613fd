// MAISI's encoder and decoder as the slabs see them.
#pragma once

#include <vector>

#include "models/autoencoder_maisi_blocks.h"
#include "models/slabs/slab_layers.h"

namespace x2ctpa::slabs {

/// `side`, with `before` as its first convolution or `after` as its last one; either may be empty.
std::vector<Level> levels_of(const autoencoder_maisi::SideImpl& side,
                             const torch::nn::Conv3d& before, const torch::nn::Conv3d& after);

}  // namespace x2ctpa::slabs
