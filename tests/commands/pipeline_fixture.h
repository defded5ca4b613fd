// The main job at a size of seconds, shared by the tests of the trained commands.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "commands/run_binary.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa::test {

/// One tiny experiment, run once for all tests of this file.
class Pipeline : public testing::Test {
 protected:
  static inline std::filesystem::path root_;

  /// `before` as in run_binary.
  static ProgramResult x2ctpa(const std::string& arguments, const std::string& run = "run",
                              const std::string& before = {}) {
    return run_binary(arguments + " --config " + (root_ / "tiny.yaml").string() + " --run " +
                          (root_ / run).string(),
                      before);
  }

  static void SetUpTestSuite() {
    root_ = std::filesystem::temp_directory_path() / fmt::format("x2ctpa_pipeline_{}", getpid());
    write_file(
        root_ / "tiny.yaml",
        "runtime: {threads: 1}\n"
        "phantom: {patients: 16, ct_size: 48, slices: 24, cxr_size: 64}\n"
        "preprocess: {grid: [8, 16, 16], field_of_view_mm: [360, 260, 300], cxr_size: 32, splits: "
        "[0.5, 0.25, 0.25]}\n"
        "vae: {model: {hidden_channels: 4, embedding_dim: 4, codes: 16, downsample: [2, 4, 4]},\n"
        "      train: {steps: 6, batch_size: 2, checkpoint_every: 3, validate_every: 3}}\n"
        "diffusion: {denoiser: {unet: {dim: 8, dim_mults: [1, 2]}, encoder: {width: 4, "
        "embedding_dim: 16, groups: 2}},\n"
        "      train: {steps: 6, batch_size: 2, checkpoint_every: 3, validate_every: 3}}\n"
        "sample: {sampler: {steps: 3}, batch_size: 4}\n"
        "classifier: {model: {blocks: [1, 1], growth: 4, init_features: 4}, train: {steps: 4, "
        "batch_size: 4, checkpoint_every: 2}}\n"
        "evaluate: {bootstrap: 50}\n");
    for (const char* line :
         {"phantom", "preprocess", "train-vae", "train-diffusion", "sample --split all",
          "classify train --arm cxr", "classify train --arm ctpa", "classify train --arm generated",
          "classify train --arm transfer", "classify train --arm fused",
          "classify train --arm distilled", "evaluate"}) {
      const auto result = x2ctpa(line);
      if (result.exit_code != 0 && !(std::string(line) == "evaluate" && result.exit_code == 3)) {
        GTEST_FAIL() << line << " ended with " << result.exit_code << ": " << result.err;
      }
    }
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(root_); }

  static void copy_run(const std::string& to) {
    std::filesystem::remove_all(root_ / to);
    std::filesystem::copy(root_ / "run", root_ / to, std::filesystem::copy_options::recursive);
  }
};

}  // namespace x2ctpa::test
