#include <gtest/gtest.h>

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

}  // namespace
}  // namespace x2ctpa
