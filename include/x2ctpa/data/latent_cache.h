// Latents of a dataset on the disk, so that the frozen autoencoder runs once per case.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// One safetensors file per case under `<root>/<first 16 digits of key>/<case id>.safetensors`.
///
/// The key names everything that the latents depend on, such as the autoencoder's hash joined to
/// the dataset's; another key means another folder, so stale latents are never read.
class LatentCache {
 public:
  /// `key`: any text; it is hashed.
  LatentCache(const std::filesystem::path& root, const std::string& key);

  /// True when the latent is there, whole and of this key; its values are not read.
  bool has(const Case& c) const;
  /// The latent as it was put. Throws Error naming the case when it is missing, damaged, or was
  /// made under another key.
  at::Tensor get(const Case& c) const;
  /// Writes atomically; any shape, type and device.
  void put(const Case& c, const at::Tensor& latent);
  /// True when every one of `cases` is there.
  bool complete(const std::vector<Case>& cases) const;

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path file(const Case& c) const;

  std::string key_hash_;
  std::filesystem::path folder_;
};

}  // namespace x2ctpa
