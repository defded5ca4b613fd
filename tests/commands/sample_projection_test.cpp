// `x2ctpa sample` with guidance by projection: its settings, cost and refusals.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

#include "commands/pipeline_fixture.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class SampleByProjection : public test::Pipeline {
 protected:
  static void SetUpTestSuite() {
    test::Pipeline::SetUpTestSuite();
    fs::create_directories(root_ / "films");
    for (int i = 1; i <= 6; ++i) {
      fs::copy(root_ / "run" / "phantom" / fmt::format("P{:04}", i) / "cxr.dcm",
               root_ / "films" / fmt::format("f{}.dcm", i));
    }
  }

  static fs::path path(const std::string& name) { return root_ / name; }
  static std::string films() { return " --cxr " + path("films").string(); }

  static test::ProgramResult sample(const std::string& arguments, const std::string& out) {
    return x2ctpa("sample " + arguments + " --out " + path(out).string(), "run");
  }

  static double difference(const fs::path& a, const fs::path& b) {
    return (read_volume(a).hu - read_volume(b).hu).abs().max().item<double>();
  }
};

TEST_F(SampleByProjection, IsASettingOfItsOwnAndIsTold) {
  ASSERT_EQ(sample(films() + " --preview false", "unguided").exit_code, 0);
  const std::string pulled = films() + " --preview false --sample.projection.strength 0.5";
  ASSERT_EQ(sample(pulled, "pulled").exit_code, 0);
  const auto json = [&](const std::string& file) {
    return nlohmann::json::parse(read_file(path(file)));
  };
  EXPECT_EQ(json("pulled/f1.json")["projection"]["strength"], 0.5);
  EXPECT_FALSE(json("unguided/f1.json").contains("projection"));
  for (const char* name : {"f1.nii.gz", "f4.nii.gz"}) {
    EXPECT_GT(difference(path("pulled") / name, path("unguided") / name), 1);
    EXPECT_TRUE(read_volume(path("pulled") / name).hu.isfinite().all().item<bool>());
  }
  EXPECT_EQ(sample(films() + " --preview false", "pulled").exit_code, 3) << "other settings";
  EXPECT_NE(sample(pulled, "pulled").err.find("nothing to do"), std::string::npos);
  const auto batch_of_one = sample(pulled + " --batch-size 1", "one_by_one");
  ASSERT_EQ(batch_of_one.exit_code, 0) << batch_of_one.err;
  EXPECT_LE(difference(path("pulled/f1.nii.gz"), path("one_by_one/f1.nii.gz")), 1.0);
  EXPECT_EQ(sample(films() + " --sample.projection.strength 2", "refused").exit_code, 1);
}

TEST_F(SampleByProjection, TellsItsCostAndIsRefusedWithoutAKnownProjection) {
  const std::string on = films() + " --preview false --sample.projection.strength 0.5";
  const auto guided = sample(on + " --sample.projection.every 2", "cost");
  ASSERT_EQ(guided.exit_code, 0) << guided.err;
  EXPECT_NE(guided.err.find("12 of 18 were guided"), std::string::npos) << guided.err;

  const auto model = path("run/diffusion/model");
  const std::string known = read_file(model / "dataset.yaml");
  const auto refusal = [&](const std::string& yaml, const std::string& out) {
    fs::remove_all(path("other"));
    fs::copy(model, path("other"), fs::copy_options::recursive);
    write_file(path("other/dataset.yaml"), yaml);
    const auto result = sample(on + " --model " + path("other").string(), out);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_FALSE(fs::exists(path(out) / "f1.nii.gz"));
    EXPECT_EQ(sample(films() + " --preview false --model " + path("other").string(), out).exit_code,
              0)
        << "not guided";
    return result.err;
  };
  const auto without = [&](const std::string& key) {
    const size_t at = known.find("\n" + key + ":") + 1, end = known.find('\n', at);
    return known.substr(0, at) + known.substr(end + 1);
  };
  const auto with = [&](const std::string& key, const std::string& value) {
    return without(key) + key + ": " + value + "\n";
  };
  for (const char* key : {"source_to_detector_mm", "source_to_centre_mm", "detector_mm"})
    EXPECT_NE(refusal(without(key), std::string("no_") + key).find(key), std::string::npos);
  EXPECT_NE(refusal(with("source", "picture"), "pictures").find("no X-rays"), std::string::npos);
  EXPECT_NE(refusal(with("unit", "none"), "no_hu").find("not in HU"), std::string::npos);
}

}  // namespace
}  // namespace x2ctpa
