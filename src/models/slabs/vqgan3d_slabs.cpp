#include "models/slabs/vqgan3d_slabs.h"

#include <vector>

namespace x2ctpa::slabs {
namespace {

std::vector<int64_t> stride_of(const torch::ExpandingArray<3>& stride) {
  return {stride->begin(), stride->end()};
}

Conv conv_of(const vqgan3d::SamePadConvImpl& layer) {
  const auto& conv = layer.conv();
  return {conv->weight, conv->bias, stride_of(conv->options.stride()), layer.padding()};
}

Conv conv_of(const vqgan3d::SamePadUpImpl& layer) {
  const auto& conv = layer.conv();
  return {.weight = conv->weight,
          .bias = conv->bias,
          .stride = stride_of(conv->options.stride()),
          .padding = layer.padding(),
          .transposed = true};
}

Norm norm_of(const vqgan3d::NormImpl& norm) {
  return {norm.groups(), norm.eps(),          norm.weight(),
          norm.bias(),   norm.running_mean(), norm.running_variance()};
}

Block block_of(const vqgan3d::ResBlockImpl& block) {
  return {norm_of(block.norm1()), conv_of(block.conv1()), norm_of(block.norm2()),
          conv_of(block.conv2())};
}

}  // namespace

std::vector<Level> encoder_levels(const vqgan3d::EncoderImpl& encoder,
                                  const vqgan3d::SamePadConvImpl& pre_vq) {
  std::vector<Level> levels;
  for (const auto* level : encoder.levels()) {
    levels.push_back({{}, {conv_of(level->down())}, {block_of(level->res())}});
  }
  levels.front().layers.insert(levels.front().layers.begin(), conv_of(encoder.first()));
  levels.front().finest = true;
  levels.push_back({norm_of(encoder.norm()), {conv_of(pre_vq)}, {}});
  return levels;
}

std::vector<Level> decoder_levels(const vqgan3d::DecoderImpl& decoder,
                                  const vqgan3d::SamePadConvImpl& post_vq) {
  std::vector<Level> levels{{{}, {conv_of(post_vq)}, {}}};
  for (const auto* level : decoder.levels()) {
    levels.push_back(
        {{}, {conv_of(level->up())}, {block_of(level->res1()), block_of(level->res2())}});
  }
  levels[1].norm = norm_of(decoder.norm());
  levels.back().finest = true;
  levels.push_back({{}, {conv_of(decoder.last())}, {}});
  return levels;
}

}  // namespace x2ctpa::slabs
