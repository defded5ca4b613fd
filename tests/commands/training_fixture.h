// A dataset and models so small that a training step takes milliseconds, shared by the tests of
// interrupted and distributed training.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "commands/run_binary.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa::test {

/// A training command and the folder of its run that it fills.
struct Stage {
  std::string command, folder;
};

inline const Stage stages[] = {{"train-vae", "vae"},
                               {"train-diffusion", "diffusion"},
                               {"classify train --arm ctpa", "classifier/ctpa"}};

class TinyTraining : public testing::Test {
 protected:
  static inline std::filesystem::path root_;

  /// Dataset and autoencoder of every run.
  static void SetUpTestSuite() {
    root_ = std::filesystem::temp_directory_path() / fmt::format("x2ctpa_training_{}", getpid());
    write_file(
        root_ / "tiny.yaml",
        "runtime: {threads: 1}\n"
        "phantom: {patients: 16, ct_size: 48, slices: 24, cxr_size: 64}\n"
        "preprocess: {grid: [8, 16, 16], field_of_view_mm: [360, 260, 300], cxr_size: 32, splits: "
        "[0.6, 0.2, 0.2]}\n"
        "vae: {model: {hidden_channels: 4, embedding_dim: 4, codes: 16, downsample: [2, 4, 4]},\n"
        "      train: {steps: 200, batch_size: 2, checkpoint_every: 20, validate_every: 50, "
        "log_every: 1}}\n"
        "diffusion: {denoiser: {unet: {dim: 8, dim_mults: [1, 2]}, encoder: {width: 4, "
        "embedding_dim: 16, groups: 2}},\n"
        "      train: {steps: 200, batch_size: 2, checkpoint_every: 20, validate_every: 50, "
        "log_every: 1}}\n"
        "classifier: {model: {blocks: [1, 1], growth: 4, init_features: 4},\n"
        "      train: {steps: 200, batch_size: 4, checkpoint_every: 20, validate_every: 50, "
        "log_every: 1}}\n");
    for (const char* line : {"phantom", "preprocess", "train-vae --vae.train.steps 3"}) {
      const auto result = x2ctpa(line, "base");
      if (result.exit_code != 0)
        GTEST_FAIL() << line << " ended with " << result.exit_code << ": " << result.err;
    }
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(root_); }

  /// `before` as in run_binary.
  static ProgramResult x2ctpa(const std::string& arguments, const std::string& run,
                              const std::string& before = {}) {
    return run_binary(arguments + common(run), before);
  }

  /// The flags that every command needs; dataset and autoencoder are those of "base".
  static std::string common(const std::string& run) {
    return " --config " + (root_ / "tiny.yaml").string() + " --run " + (root_ / run).string();
  }

  /// A run with the dataset and, but for train-vae, the autoencoder of "base".
  static std::filesystem::path new_run(const std::string& name) {
    namespace fs = std::filesystem;
    fs::remove_all(root_ / name);
    fs::create_directories(root_ / name / "vae");
    fs::create_directory_symlink(root_ / "base" / "dataset", root_ / name / "dataset");
    fs::copy(root_ / "base" / "vae" / "model", root_ / name / "vae" / "model");
    return root_ / name;
  }

  /// Shell text that starts the program that follows and sends it `signal` once its metrics have
  /// `lines` lines.
  static std::string signal_at(const std::filesystem::path& metrics, int lines,
                               const std::string& signal) {
    return fmt::format(
        "signalled() {{ \"$@\" & pid=$!; while kill -0 $pid 2>/dev/null && [ $(cat {} 2>/dev/null "
        "| wc -l) -lt {} ]; "
        "do sleep 0.01; done; kill -{} $pid; wait $pid; }}; signalled ",
        metrics.string(), lines, signal);
  }

  /// metrics.jsonl without what a clock said.
  static std::string metrics(const std::filesystem::path& file) {
    std::istringstream lines(read_file(file));
    std::string out;
    for (std::string line; std::getline(lines, line);) {
      auto entry = nlohmann::json::parse(line);
      for (const char* clock : {"seconds", "wait_seconds", "stall_seconds"}) entry.erase(clock);
      out += entry.dump() + "\n";
    }
    return out;
  }
};

}  // namespace x2ctpa::test
