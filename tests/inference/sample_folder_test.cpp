// What lies in a folder of samples, what counts as finished, and tables that several processes
// share.
#include "x2ctpa/inference/sample_folder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

Volume small_volume() {
  return {at::arange(4 * 5 * 6, at::kFloat).view({4, 5, 6}), {-3, 4, 5}, {2, 2, 3}};
}

Provenance provenance(const std::string& name) {
  return {.name = name,
          .case_id = "P1",
          .sample = 3,
          .seed = 9,
          .cxr_path = "x/a.png",
          .cxr_sha256 = "c",
          .model_hash = "m",
          .settings = "s",
          .novelty = Novelty{0.5, 1.5}};
}

TEST(SampleFolder, WritesTheVolumeItsSidecarAndWhatIsAskedFor) {
  const test::TemporaryFolder out;
  SampleOptions options;
  options.dicom = options.latents = true;
  const SampleFolder folder(out / "new", options);
  folder.write(small_volume(), {-200, 500}, at::ones({2, 3, 3, 3}), at::zeros({8, 8}),
               provenance("a"));
  EXPECT_TRUE(at::equal(read_volume(folder.volume_file("a")).hu, small_volume().hu));
  EXPECT_EQ(summarise_volume(folder.volume_file("a")).description.rfind("SYNTHETIC", 0), 0u);
  const std::string sidecar = read_file(folder.sidecar_file("a"));
  for (const char* part : {"\"synthetic\": true", "not for diagnosis", "\"settings\": \"s\"",
                           "\"steps\": 15", "\"seed\": 9"}) {
    EXPECT_NE(sidecar.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(read_safetensors(out / "new/latents/a.safetensors").at("latent").sizes(),
            (std::vector<int64_t>{2, 3, 3, 3}));
  EXPECT_EQ(read_volume(out / "new/dicom/a").size_dhw(), small_volume().size_dhw());
  EXPECT_TRUE(fs::exists(out / "new/previews/a.png"));
}

TEST(SampleFolder, AVolumeIsFinishedWhenItsSidecarTellsTheSameSettingsAndNothingIsMissing) {
  const test::TemporaryFolder out;
  SampleOptions options;
  const SampleFolder folder(out.path(), options);
  EXPECT_EQ(folder.existing("a", "P1", 3, "s"), Existing::nothing);
  folder.write(small_volume(), {-200, 500}, {}, {}, provenance("a"));
  EXPECT_EQ(folder.existing("a", "P1", 3, "s"), Existing::same);
  EXPECT_EQ(folder.existing("a", "P1", 3, "t"), Existing::other);
  EXPECT_EQ(folder.existing("a", "P1", 4, "s"), Existing::other);
  EXPECT_EQ(folder.existing("a", "P2", 3, "s"), Existing::other);
  fs::remove(out / "previews/a.png");
  EXPECT_EQ(folder.existing("a", "P1", 3, "s"), Existing::unfinished);
  fs::remove(folder.sidecar_file("a"));
  EXPECT_EQ(folder.existing("a", "P1", 3, "s"), Existing::other)
      << "a volume of unknown origin is not ours to replace";
  fs::remove(folder.volume_file("a"));
  EXPECT_EQ(folder.existing("a", "P1", 3, "s"), Existing::nothing);
}

TEST(SampleFolder, RowsComeFromTheSidecarsAndReplaceThoseOfTheSameName) {
  const test::TemporaryFolder out;
  const SampleFolder folder(out.path(), {});
  for (const char* name : {"b", "a"})
    folder.write(small_volume(), {-200, 500}, {}, {}, provenance(name));
  folder.record({"b"}, {{"b", 1.5}});
  folder.record({"a", "b"}, {});
  const auto table = CsvTable::read(out / "samples.csv");
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at(0, "name"), "a");
  EXPECT_EQ(table.at(0, "file"), "a.nii.gz");
  EXPECT_EQ(table.at(0, "cxr"), "x/a.png");
  EXPECT_EQ(table.at(0, "unlike_training"), "1");
  EXPECT_EQ(table.at(0, "embedding_novelty"), "1.5");
}

TEST(SampleFolder, AFailureIsListedUntilItsXrayIsMade) {
  const test::TemporaryFolder out;
  const SampleFolder folder(out.path(), {});
  folder.record_failures({{"bad", {"bad.png", "why"}}, {"worse", {"worse.png", "why"}}}, {});
  folder.record_failures({}, {"bad"});
  const auto table = CsvTable::read(out / "failures.csv");
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table.at(0, "name"), "worse");
  folder.record_failures({}, {"worse"});
  EXPECT_FALSE(fs::exists(out / "failures.csv"));
}

TEST(SampleFolder, ProcessesThatWriteToOneTableLoseNoRow) {
  const test::TemporaryFolder out;
  const SampleFolder folder(out.path(), {});
  constexpr int processes = 4, rows = 25;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      for (int r = 0; r < rows; ++r) {
        CsvTable table({"key", "value"});
        table.add({fmt::format("{}-{:02}", p, r), "x"});
        folder.merge("shared.csv", table, "key");
      }
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  EXPECT_EQ(CsvTable::read(out / "shared.csv").size(), size_t(processes * rows));
}

TEST(SampleFolder, AFolderThatCannotBeWrittenIsRefusedAtOnce) {
  EXPECT_THROW(SampleFolder("/proc/x2ctpa", {}), Error);
  EXPECT_THROW(SampleFolder("/dev/null/x2ctpa", {}), Error);
}

}  // namespace
}  // namespace x2ctpa
