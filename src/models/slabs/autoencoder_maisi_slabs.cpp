#include "models/slabs/autoencoder_maisi_slabs.h"

#include <vector>

namespace x2ctpa::slabs {
namespace {

// A convolution that keeps the size, zeros around it.
Conv zero_padded(const torch::nn::Conv3d& conv) {
  const int64_t around = conv->weight.size(2) / 2;
  return {.weight = conv->weight,
          .bias = conv->bias,
          .stride = {1, 1, 1},
          .padding = std::vector<int64_t>(6, around),
          .zeros = true};
}

Conv resampling(const torch::nn::Conv3d& conv, autoencoder_maisi::Direction direction) {
  auto found = zero_padded(conv);
  if (direction == autoencoder_maisi::Direction::up) {
    found.doubled = true;
  } else {
    found.stride = {2, 2, 2};
    found.padding = {0, 1, 0, 1, 0, 1};
  }
  return found;
}

Norm group_norm(const torch::nn::GroupNorm& norm, bool silu) {
  return {.groups = norm->options.num_groups(),
          .eps = norm->options.eps(),
          .weight = norm->weight,
          .bias = norm->bias,
          .silu = silu};
}

Block residual(const autoencoder_maisi::ResBlock& block) {
  Block found{group_norm(block->norm1(), true), zero_padded(block->conv1()),
              group_norm(block->norm2(), true), zero_padded(block->conv2())};
  if (block->shortcut()) found.shortcut = zero_padded(block->shortcut());
  return found;
}

}  // namespace

std::vector<Level> levels_of(const autoencoder_maisi::SideImpl& side,
                             const torch::nn::Conv3d& before, const torch::nn::Conv3d& after) {
  const bool up = side.direction() == autoencoder_maisi::Direction::up;
  std::vector<Level> levels;
  for (const auto& level : side.levels()) {
    auto& found = levels.emplace_back();
    if (level.resample) found.layers.push_back(resampling(level.resample, side.direction()));
    for (const auto& block : level.blocks) found.blocks.push_back(residual(block));
  }
  auto& first = levels.front().layers;
  first.insert(first.begin(), zero_padded(side.first()));
  if (before) first.insert(first.begin(), zero_padded(before));
  (up ? levels.back() : levels.front()).finest = true;
  auto& last = levels.emplace_back();
  last.norm = group_norm(side.norm(), /*silu=*/false);
  last.layers.push_back(zero_padded(side.last()));
  if (after) last.layers.push_back(zero_padded(after));
  return levels;
}

}  // namespace x2ctpa::slabs
