// How the program starts.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "commands/run_binary.h"

namespace x2ctpa {
namespace {

std::string openmp_says(const std::string& variables) {
  return test::run_binary("--version", "env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY " + variables +
                                           " OMP_DISPLAY_ENV=verbose ")
      .err;
}

TEST(Start, WaitingThreadsSleepUnlessTheUserSaysOtherwise) {
  EXPECT_NE(openmp_says("").find("GOMP_SPINCOUNT = '5000'"), std::string::npos);
  EXPECT_NE(openmp_says("GOMP_SPINCOUNT=7").find("GOMP_SPINCOUNT = '7'"), std::string::npos);
  EXPECT_EQ(openmp_says("OMP_WAIT_POLICY=active").find("GOMP_SPINCOUNT = '5000'"),
            std::string::npos);
}

TEST(Start, ArgumentsExitCodeAndStandardOutputAreTheProgramsOwn) {
  const auto version = test::run_binary("--version", "env -u GOMP_SPINCOUNT ");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.rfind("x2ctpa ", 0), 0u) << version.out;
  EXPECT_EQ(test::run_binary("no-such-command 'a b'", "env -u GOMP_SPINCOUNT ").exit_code, 1);
}

TEST(Start, AnUnknownCommandOrFlagNamesWhatWasMeant) {
  for (const auto& [line, hint] : std::vector<std::pair<std::string, std::string>>{
           {"trainvae", "did you mean x2ctpa train-vae?"},
           {"predict", "did you mean x2ctpa sample?"},
           {"train", "x2ctpa train-vae, x2ctpa train-diffusion or x2ctpa classify train"},
           {"xyzxyzxyzxyz", "expected one of phantom, preprocess"},
           {"", "a command is missing"},
           {"sample --step 3", "did you mean --steps?"},
           {"sample --guidance 3", "did you mean --guidance-scale?"},
           {"train-vae --hidden-channels 3", "did you mean --vae.model.hidden_channels?"},
           {"info --bootstrap 3", "--evaluate.bootstrap is an option of other commands"}}) {
    const auto result = test::run_binary(line);
    EXPECT_EQ(result.exit_code, 1) << line;
    EXPECT_NE(result.err.find(hint), std::string::npos) << line << ": " << result.err;
  }
}

TEST(Start, ShortFormsAreTheOptionsOfTheExperiment) {
  // Each is refused for its value, by its full name.
  for (const auto& [line, key] : std::vector<std::pair<std::string, std::string>>{
           {"sample --steps many", "sample.sampler.steps"},
           {"sample --guidance-scale big", "sample.sampler.guidance_scale"},
           {"sample --sampler euler5", "sample.sampler.kind"},
           {"sample --seed x", "runtime.seed"},
           {"sample --batch-size 0", "sample.batch_size"},
           {"train-vae --steps x", "vae.train.steps"},
           {"train-diffusion --batch-size x", "diffusion.train.batch_size"},
           {"classify train --arm CXR --learning-rate x", "classifier.train.learning_rate"},
           {"phantom --patients x", "phantom.patients"},
           {"evaluate --split none", "evaluate.split"}}) {
    const auto result = test::run_binary(line);
    EXPECT_EQ(result.exit_code, 1) << line;
    EXPECT_NE(result.err.find(key + " must be"), std::string::npos) << line << ": " << result.err;
  }
}

TEST(Start, HelpFitsTheTerminalAndKeepsTheRestForHelpAll) {
  for (const char* columns : {"60", "80", "100"}) {
    const std::string before = std::string("COLUMNS=") + columns + " ";
    for (const char* command : {"", "phantom ", "preprocess ", "train-vae ", "train-diffusion ",
                                "sample ", "classify ", "evaluate ", "info "}) {
      const auto help = test::run_binary(std::string(command) + "--help", before);
      ASSERT_EQ(help.exit_code, 0);
      EXPECT_EQ(help.out.rfind("Usage: x2ctpa " + std::string(command), 0), 0u) << help.out;
      EXPECT_NE(help.out.find("Examples:\n  x2ctpa "), std::string::npos) << help.out;
      std::istringstream lines(help.out);
      bool example = false;
      for (std::string line; std::getline(lines, line);) {
        example = line == "Examples:" || (example && !line.empty());
        // A line to be copied, and a word, are not broken.
        if (!example && line.find_last_of(' ') > 26 && line.find_last_of(' ') != line.npos) {
          EXPECT_LE(line.size(), std::stoul(columns)) << line;
        }
      }
    }
  }
  const auto help = test::run_binary("sample --help"), all = test::run_binary("sample --help-all");
  EXPECT_NE(help.out.find("Usage: x2ctpa sample [MODEL] [X-RAYS] [OUT]"), std::string::npos);
  EXPECT_NE(help.out.find("--steps, --sample.sampler.steps"), std::string::npos) << help.out;
  EXPECT_EQ(help.out.find("sample.sampler.temperature"), std::string::npos) << help.out;
  EXPECT_NE(help.out.find("--help-all"), std::string::npos);
  EXPECT_NE(all.out.find("--sample.sampler.temperature"), std::string::npos) << all.out;
  EXPECT_LT(std::count(help.out.begin(), help.out.end(), '\n'), 110);
}

TEST(Start, AMissingPathEndsWithOneCodeInEveryCommand) {
  const std::string out = " --out " + testing::TempDir() + "x2ctpa_start_out";
  for (const std::string& line : {
           std::string("preprocess --run /nowhere --input /nowhere.csv"),
           std::string("preprocess --check --run /nowhere"),
           std::string("train-vae --dry-run --dataset /nowhere"),
           std::string("train-diffusion --dry-run --dataset /nowhere"),
           std::string("classify train --dry-run --arm cxr --dataset /nowhere"),
           std::string("classify predict --arm cxr --dataset /nowhere"),
           "sample --model /nowhere --cxr " X2CTPA_SOURCE_DIR "/docs/demo.png" + out,
           "sample --cxr /nowhere" + out,
           "sample --dataset /nowhere" + out,
           "sample --cxr " X2CTPA_SOURCE_DIR "/docs/demo.png --reference /nowhere" + out,
           "sample --cxr " X2CTPA_SOURCE_DIR "/docs/demo.png --classifier /nowhere" + out,
           std::string("train-vae --dry-run --lpips /nowhere"),
           std::string("train-diffusion --dry-run --lpips /nowhere"),
           std::string("train-diffusion --dry-run --classifier /nowhere"),
           std::string("evaluate --run /nowhere"),
           "evaluate --generated /nowhere --real /nowhere" + out,
           "evaluate --scores a=/nowhere.csv" + out,
           std::string("evaluate --compare /nowhere /nowhere"),
           std::string("evaluate --readings /nowhere.csv"),
           std::string("info /nowhere"),
           std::string("info --config /nowhere.yaml"),
       }) {
    const auto result = test::run_binary(line);
    EXPECT_EQ(result.exit_code, 2) << line << ": " << result.err;
    EXPECT_NE(result.err.find("nowhere"), std::string::npos) << line << ": " << result.err;
  }
}

TEST(Start, AListIsTakenAsYamlWritesIt) {
  const auto found = test::run_binary("preprocess --input none --preprocess.grid '[8, 16]'");
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_NE(found.err.find("preprocess.grid must be a list of integers (3 values)"),
            std::string::npos)
      << found.err;
}

}  // namespace
}  // namespace x2ctpa
