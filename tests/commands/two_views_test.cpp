// A model of two views, from simulated patients to volumes, through the program.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "commands/training_fixture.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::TinyTraining;

class TwoViewRun : public TinyTraining {
 protected:
  // One run for all tests.
  static void SetUpTestSuite() {
    TinyTraining::SetUpTestSuite();
    const std::string small = " --phantom.patients 20 --phantom.lateral true";
    for (const std::string line :
         {"phantom" + small, std::string("preprocess --preprocess.views both"),
          std::string("train-vae --vae.train.steps 3"), train()}) {
      const auto result = x2ctpa(line, "two");
      if (result.exit_code != 0)
        GTEST_FAIL() << line << " ended with " << result.exit_code << ": " << result.err;
    }
  }
  static std::string train() {
    return "train-diffusion --diffusion.denoiser.views both --diffusion.denoiser.mean linear "
           "--diffusion.prior.components 4 --diffusion.train.steps 12 "
           "--diffusion.train.checkpoint_every 4 --diffusion.refiner.kind frontal "
           "--diffusion.refiner.train.steps 6 --diffusion.refiner.train.validate_every 3 "
           "--diffusion.refiner.train.checkpoint_every 3 --diffusion.refiner.model.width 8 "
           "--diffusion.refiner.model.inner_width 8";
  }
  static nlohmann::json sidecar(const fs::path& samples) {
    const auto table = CsvTable::read(samples / "samples.csv");
    return nlohmann::json::parse(read_file(samples / (table.at(0, "name") + ".json")));
  }
};

TEST_F(TwoViewRun, HasAModelOfEachSetOfViewsInItsFolder) {
  const fs::path model = root_ / "two/diffusion/model";
  for (const char* part : {"mean", "mean/lateral", "mean/both", "prior", "prior/lateral",
                           "prior/both", "refiner", "autoencoder"})
    EXPECT_TRUE(fs::exists(model / part / "model.safetensors")) << part;
  for (const char* file : {"cxr_novelty.safetensors", "cxr_novelty_lateral.safetensors"})
    EXPECT_TRUE(fs::exists(model / file)) << file;
  EXPECT_NE(read_file(model / "config.yaml").find("views: both"), std::string::npos);
  const auto told = x2ctpa("info " + (root_ / "two/dataset").string() + " --json", "two");
  EXPECT_NE(told.out.find("with_lateral_xray"), std::string::npos) << told.out;
}

TEST_F(TwoViewRun, MakesOtherVolumesOfEachViewAndOfBoth) {
  std::set<std::string> volumes;
  for (const std::string views : {"given", "frontal", "lateral", "both"}) {
    const fs::path out = root_ / ("two/samples_" + views);
    const auto result =
        x2ctpa("sample --sample.sampler.steps 2 --sample.views " + views + " --out " + out.string(),
               "two");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto json = sidecar(out);
    EXPECT_EQ(json["cxr"]["views"], views == "given" ? "both" : views);
    EXPECT_EQ(json.contains("cxr_lateral"), views != "frontal");
    volumes.insert(sha256_of_file(out / (json["name"].get<std::string>() + ".nii.gz")));
  }
  EXPECT_EQ(volumes.size(), 3u) << "given and both are the same, one view is not";
}

TEST_F(TwoViewRun, PairsTheFilmsOfAFolderAndGoesOnWithOne) {
  const fs::path films = root_ / "films";
  for (const char* id : {"P0001", "P0002", "P0003"}) fs::create_directories(films / id);
  const auto copy = [&](const std::string& film) {
    fs::copy_file(root_ / "two/phantom" / film, films / film);
  };
  copy("P0001/cxr.dcm"), copy("P0001/cxr_lateral.dcm");
  copy("P0002/cxr.dcm");
  copy("P0003/cxr_lateral.dcm");
  const fs::path out = root_ / "of_films";
  const auto result = x2ctpa(
      "sample --sample.sampler.steps 2 --cxr " + films.string() + " --out " + out.string(), "two");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(CsvTable::read(out / "samples.csv").size(), 3u);
  EXPECT_NE(result.err.find("1 lateral X-ray found no frontal one"), std::string::npos)
      << result.err;
}

TEST_F(TwoViewRun, GoesOnAfterAStopBitForBit) {
  const fs::path whole = root_ / "two/diffusion", broken = root_ / "stopped/diffusion";
  fs::create_directories(root_ / "stopped");
  for (const char* part : {"dataset", "vae"})
    fs::copy(root_ / "two" / part, root_ / "stopped" / part, fs::copy_options::recursive);
  const auto stopped = x2ctpa(train() + " --diffusion.train.log_every 1", "stopped",
                              signal_at(broken / "metrics.jsonl", 6, "TERM"));
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  const auto resumed = x2ctpa(train() + " --diffusion.train.log_every 1", "stopped");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  for (const char* file : {"model.safetensors", "mean/both/model.safetensors",
                           "prior/both/model.safetensors", "refiner/model.safetensors"})
    EXPECT_TRUE(read_file(whole / "model" / file) == read_file(broken / "model" / file)) << file;
}

TEST_F(TwoViewRun, TooFewPatientsWithBothViewsAreRefused) {
  const auto few = x2ctpa("train-diffusion --diffusion.denoiser.views both", "base");
  EXPECT_EQ(few.exit_code, 2) << few.err;
  EXPECT_NE(few.err.find("both views, found 0"), std::string::npos) << few.err;
  EXPECT_NE(few.err.find("--preprocess.views both"), std::string::npos) << few.err;
}

}  // namespace
}  // namespace x2ctpa
