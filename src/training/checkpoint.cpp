#include "x2ctpa/training/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

fs::path checksum_file(const fs::path& file) { return fs::path(file.string() + ".sha256"); }

// Checkpoint files, newest first.
std::vector<fs::path> checkpoint_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) == 0 && entry.path().extension() == ".safetensors")
      files.push_back(entry.path());
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

}  // namespace

void write_checkpoint(const fs::path& folder, const Checkpoint& checkpoint, int64_t keep) {
  const fs::path file = folder / fmt::format("step-{:09}.safetensors", checkpoint.step);
  write_safetensors(file, checkpoint.tensors,
                    {{"step", std::to_string(checkpoint.step)}, {"settings", checkpoint.settings}});
  write_file(checksum_file(file), sha256_of_file(file));
  const auto files = checkpoint_files(folder);
  for (size_t i = size_t(keep); i < files.size(); ++i) {
    std::error_code ignored;
    fs::remove(files[i], ignored);
    fs::remove(checksum_file(files[i]), ignored);
  }
}

void CheckpointWriter::start(const Checkpoint& checkpoint) {
  wait();
  Checkpoint copy{checkpoint.step, checkpoint.settings, {}};
  for (const auto& [name, tensor] : checkpoint.tensors) {
    copy.tensors[name] = tensor.detach().to(tensor.options().device(at::kCPU),
                                            /*non_blocking=*/false, /*copy=*/true);
  }
  writing_ =
      std::async(std::launch::async, [copy = std::move(copy), folder = folder_, keep = keep_] {
        write_checkpoint(folder, copy, keep);
      });
}

void CheckpointWriter::wait() {
  if (writing_.valid()) writing_.get();
}

void CheckpointWriter::check() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
    writing_.get();
}

std::optional<Checkpoint> newest_checkpoint(const fs::path& folder) {
  for (const auto& file : checkpoint_files(folder)) {
    try {
      if (read_file(checksum_file(file)) != sha256_of_file(file))
        throw Error("its checksum does not match");
      const auto metadata = read_safetensors_metadata(file);
      return Checkpoint{std::stoll(metadata.at("step")), metadata.at("settings"),
                        read_safetensors(file)};
    } catch (const std::exception& e) {
      log_warning("checkpoint {} is passed over: {}", file.string(), e.what());
    }
  }
  return std::nullopt;
}

}  // namespace x2ctpa
