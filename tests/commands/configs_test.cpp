#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "commands/run_binary.h"
#include "support/temporary_folder.h"
#include "x2ctpa/commands/experiment.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

TEST(Configs, EveryShippedExperimentFileHoldsKnownKeysAndAllowedValues) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(X2CTPA_SOURCE_DIR) / "configs")) {
    Experiment experiment;
    OptionList options;
    experiment.describe(options);
    EXPECT_NO_THROW(options.load_yaml(entry.path())) << entry.path();
    ++files;
  }
  EXPECT_GE(files, 2);
}

TEST(Configs, ShippedExperimentsAreFoundByName) {
  const test::TemporaryFolder folder;
  const std::string line = "preprocess --run " + (folder / "run").string() + " --config ";
  const auto found = test::run_binary(line + "demo");
  EXPECT_NE(found.err.find("manifest"), std::string::npos) << found.err;  // of the missing phantom
  const auto refused = test::run_binary(line + "dmeo");
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("demo, generic, layout-accession"), std::string::npos) << refused.err;
}

TEST(Configs, TrainVaeRefusesAnAutoencoderThatIsNotTrainedBeforeItTouchesTheRun) {
  const test::TemporaryFolder folder;
  const std::string line = "train-vae --config " X2CTPA_SOURCE_DIR "/configs/paper.yaml --run " +
                           (folder / "run").string();
  const auto refused = test::run_binary(line);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("expected vae.kind vqgan or conv, found kl"), std::string::npos)
      << refused.err;
  EXPECT_NE(refused.err.find("--vae.kind conv"), std::string::npos) << refused.err;
  EXPECT_FALSE(fs::exists(folder / "run"));
  const auto taken = test::run_binary(line + " --vae.kind vqgan");
  EXPECT_EQ(taken.err.find("vae.kind"), std::string::npos) << taken.err;
  EXPECT_NE(taken.err.find("dataset"), std::string::npos) << taken.err;
}

}  // namespace
}  // namespace x2ctpa
