// What a frozen CXR encoder finds in every X-ray, computed once and kept on the disk.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/shard.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {

class FrozenFeatures {
 public:
  /// Caches below `folder`. `model`: the vision transformer's model folder; `tokens`: whether its
  /// tokens are wanted too. Throws Error(no_data) when no case outside the test set has an X-ray.
  FrozenFeatures(const Dataset& dataset, const std::filesystem::path& model,
                 const std::filesystem::path& folder, bool tokens);

  /// Encodes what the caches lack of every case outside the test set, or of a share of them.
  void encode_missing(const Dataset& dataset, c10::Device device, const Shard& shard = {});

  /// (E), and (1 + patches, width) where wanted.
  at::Tensor pooled(const Case& c) const { return pooled_.get(c); }
  at::Tensor tokens(const Case& c) const { return tokens_.value().get(c); }
  bool has_tokens() const { return tokens_.has_value(); }

 private:
  FrozenFeatures(const Dataset& dataset, const std::filesystem::path& model,
                 const std::filesystem::path& folder, bool tokens, const std::string& key);

  std::filesystem::path model_;
  std::vector<Case> cases_;
  LatentCache pooled_;
  std::optional<LatentCache> tokens_;
};

}  // namespace x2ctpa
