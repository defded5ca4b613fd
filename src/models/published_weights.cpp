#include "x2ctpa/models/published_weights.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace x2ctpa {
namespace {

using Renames = std::vector<std::pair<std::string, std::string>>;

bool starts_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

std::string without_prefix(const std::string& name, const std::string& prefix) {
  return starts_with(name, prefix) ? name.substr(prefix.size()) : name;
}

/// Replaces the first of `renames` that `name` starts with.
std::string rename_start(const std::string& name, const Renames& renames) {
  for (const auto& [from, to] : renames) {
    if (starts_with(name, from)) return to + name.substr(from.size());
  }
  return name;
}

/// The number of levels: one more than the highest index after "downs.".
int64_t count_levels(const TensorMap& published) {
  int64_t levels = 0;
  for (const auto& [name, tensor] : published) {
    const std::string own = without_prefix(name, "denoise_fn.");
    if (starts_with(own, "downs."))
      levels = std::max<int64_t>(levels, std::stoll(own.substr(6)) + 1);
  }
  return levels;
}

Renames unet3d_renames(int64_t levels) {
  Renames renames{{"null_cond_emb", "null_cond"},
                  {"time_rel_pos_bias.relative_attention_bias.", "position_bias."},
                  {"init_temporal_attn.fn.norm.gamma", "init_temporal_attention.norm.weight"},
                  {"init_temporal_attn.fn.fn.fn.", "init_temporal_attention."},
                  {"time_mlp.1.", "time1."},
                  {"time_mlp.3.", "time2."},
                  {"mid_spatial_attn.fn.norm.gamma", "mid_spatial_attention.norm.weight"},
                  {"mid_spatial_attn.fn.fn.fn.", "mid_spatial_attention."},
                  {"mid_temporal_attn.fn.norm.gamma", "mid_temporal_attention.norm.weight"},
                  {"mid_temporal_attn.fn.fn.fn.", "mid_temporal_attention."},
                  {"final_conv.0.", "final_block."},
                  {"final_conv.1.", "final_conv."}};
  const auto add_level = [&](const std::string& from, const std::string& to,
                             const std::string& resample) {
    renames.insert(renames.end(),
                   {{from + "0.mlp.1.", to + "block1.mlp."},
                    {from + "1.mlp.1.", to + "block2.mlp."},
                    {from + "0.", to + "block1."},
                    {from + "1.", to + "block2."},
                    {from + "2.fn.norm.gamma", to + "spatial_attention.norm.weight"},
                    {from + "2.fn.fn.", to + "spatial_attention."},
                    {from + "3.fn.norm.gamma", to + "temporal_attention.norm.weight"},
                    {from + "3.fn.fn.fn.", to + "temporal_attention."},
                    {from + "4.", resample}});
  };
  for (int64_t i = 0; i < levels; ++i) {
    const int64_t up = levels - 1 - i;  // published decoders count from the coarsest
    add_level(fmt::format("downs.{}.", i), fmt::format("down{}.", i),
              fmt::format("downsample{}.", i));
    add_level(fmt::format("ups.{}.", i), fmt::format("up{}.", up), fmt::format("upsample{}.", up));
  }
  for (const std::string block : {"mid_block1.", "mid_block2."}) {
    renames.emplace_back(block + "mlp.1.", block + "mlp.");
  }
  return renames;
}

}  // namespace

TensorMap unet3d_from_published(const TensorMap& published) {
  const bool wrapped = std::any_of(published.begin(), published.end(), [](const auto& item) {
    return starts_with(item.first, "denoise_fn.");
  });
  const auto renames = unet3d_renames(count_levels(published));
  TensorMap own;
  for (const auto& [name, tensor] : published) {
    if (wrapped && !starts_with(name, "denoise_fn.")) continue;
    if (name.find("rotary_emb.freqs") != std::string::npos) {  // one tensor under many names
      own["rotary_frequencies"] = tensor;
      continue;
    }
    const auto to = rename_start(without_prefix(name, "denoise_fn."), renames);
    const bool flat = name.find(".gamma") != std::string::npos;
    const bool pointwise = to.find("attention.to_") != std::string::npos && tensor.dim() == 4;
    own[to] = flat ? tensor.flatten() : pointwise ? tensor.flatten(1) : tensor;
  }
  return own;
}

TensorMap vqgan3d_from_published(const TensorMap& published) {
  TensorMap own;
  for (const auto& [name, tensor] : published) {
    const bool wanted = starts_with(name, "encoder.") || starts_with(name, "decoder.") ||
                        starts_with(name, "codebook.") || starts_with(name, "pre_vq_conv.") ||
                        starts_with(name, "post_vq_conv.");
    if (wanted) own[name] = tensor;
  }
  own["codebook.initialised"] = torch::ones({1}, torch::kByte);
  return own;
}

TensorMap densenet3d_from_published(const TensorMap& published) {
  TensorMap own;
  for (const auto& [name, tensor] : published) {
    own[without_prefix(without_prefix(name, "module."), "base_model.")] = tensor;
  }
  return own;
}

}  // namespace x2ctpa
