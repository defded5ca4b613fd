// Latents of a dataset under a frozen autoencoder: encoded once, kept on the disk.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <filesystem>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/shard.h"
#include "x2ctpa/data/latent_cache.h"

namespace x2ctpa {

class Latents {
 public:
  /// Opens the cache below `root` whose key is the hash of the weights in the model folder `vae`
  /// joined to the dataset's; encodes nothing. Throws Error when `vae` is no model folder, or knows
  /// another window than the dataset's.
  Latents(const Dataset& dataset, const std::filesystem::path& vae,
          const std::filesystem::path& root);

  /// Encodes every case with a volume outside the test set that the cache lacks, or a share of
  /// them, on `device`. A call that was stopped goes on where it was. Returns how many it encoded.
  int64_t encode_missing(c10::Device device, const RuntimeOptions& runtime,
                         const Shard& shard = {});

  /// Whether the cache holds a case.
  bool has(const Case& c) const { return cache_.has(c); }

  /// (B, C, d, h, w) of `cases`. Throws Error naming a case that is not encoded.
  at::Tensor batch(const std::vector<Case>& cases) const;

  const std::filesystem::path& folder() const { return cache_.folder(); }

 private:
  Dataset dataset_;
  std::filesystem::path vae_;
  LatentCache cache_;
};

}  // namespace x2ctpa
