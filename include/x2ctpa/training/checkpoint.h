// Training checkpoints: <folder>/step-<n>.safetensors, each with its own checksum.
#pragma once

#include <filesystem>
#include <future>
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
void write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint,
                      int64_t keep);

/// Writes checkpoints beside the training.
class CheckpointWriter {
 public:
  CheckpointWriter(std::filesystem::path folder, int64_t keep)
      : folder_(std::move(folder)), keep_(keep) {}

  /// Copies the tensors, and writes them as write_checkpoint() does in a thread. Waits for the one
  /// before.
  void start(const Checkpoint& checkpoint);
  /// Returns when the last one is on the disk. Throws its Error (disk full).
  void wait();
  /// As wait(), but returns at once while it is still being written.
  void check();

 private:
  std::filesystem::path folder_;
  int64_t keep_;
  std::future<void> writing_;
};

/// The newest checkpoint that reads whole and matches its checksum; damaged ones are passed over
/// with a warning. Nothing when there is none.
std::optional<Checkpoint> newest_checkpoint(const std::filesystem::path& folder);

}  // namespace x2ctpa
