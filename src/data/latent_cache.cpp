#include "x2ctpa/data/latent_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/safetensors.h"

namespace fs = std::filesystem;

namespace x2ctpa {

LatentCache::LatentCache(const fs::path& root, const std::string& key)
    : key_hash_(sha256(key)), folder_(root / key_hash_.substr(0, 16)) {}

fs::path LatentCache::file(const Case& c) const { return folder_ / (c.id + ".safetensors"); }

bool LatentCache::has(const Case& c) const {
  if (!fs::exists(file(c))) return false;
  try {
    // The header says how long the file is, so one that was cut short does not count.
    read_safetensors(file(c));
    const auto metadata = read_safetensors_metadata(file(c));
    const auto key = metadata.find("key");
    return key != metadata.end() && key->second == key_hash_;
  } catch (const Error&) {
    return false;
  }
}

at::Tensor LatentCache::get(const Case& c) const {
  const fs::path path = file(c);
  if (!fs::exists(path)) {
    throw Error(fmt::format("case {}: no cached latent; expected {}; encode the dataset first",
                            c.id, path.string()));
  }
  const auto metadata = read_safetensors_metadata(path);
  const auto key = metadata.find("key");
  if (key == metadata.end() || key->second != key_hash_) {
    throw Error(fmt::format("case {}: {} was made under key {}, expected {}; delete the folder {}",
                            c.id, path.string(), key == metadata.end() ? "none" : key->second,
                            key_hash_, folder_.string()));
  }
  const TensorMap tensors = read_safetensors(path);
  const auto found = tensors.find("latent");
  if (found == tensors.end()) {
    throw Error(
        fmt::format("case {}: {} holds no tensor 'latent'; delete it", c.id, path.string()));
  }
  // A copy: the tensor of the file is a view that keeps the file mapped.
  return found->second.clone();
}

void LatentCache::put(const Case& c, const at::Tensor& latent) {
  write_safetensors(file(c), {{"latent", latent.detach()}}, {{"key", key_hash_}, {"case", c.id}});
}

bool LatentCache::complete(const std::vector<Case>& cases) const {
  return std::all_of(cases.begin(), cases.end(), [&](const Case& c) { return has(c); });
}

}  // namespace x2ctpa
