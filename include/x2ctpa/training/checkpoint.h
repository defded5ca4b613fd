// Training checkpoints: <folder>/step-<n>.safetensors, each with its own checksum.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

struct Checkpoint {
  int64_t step = 0;  ///< steps done
  std::string settings;
  TensorMap tensors;
};

/// Writes atomically and removes all but the newest `keep`.
void write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint, int64_t keep);

/// The newest checkpoint that reads whole and matches its checksum; damaged ones are passed over
/// with a warning. Nothing when there is none.
std::optional<Checkpoint> newest_checkpoint(const std::filesystem::path& folder);

}  // namespace x2ctpa
