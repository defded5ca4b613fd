#include "commands/run_binary.h"
#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/dataset.h"

namespace x2ctpa {
namespace {

using test::run_binary;
using test::TemporaryFolder;

constexpr const char* kSmall = " --preprocess.grid 12,20,24 --preprocess.cxr_size 16";

/// A run folder whose phantom/manifest.csv names two good pairs.
void put_pairs(const TemporaryFolder& run) {
  for (const char* name : {"a", "b"}) {
    write_nifti(test::thorax(name[0]), run / "phantom" / fmt::format("{}.nii", name), "test");
    write_png16(test::picture(20, name[0]), run / "phantom" / fmt::format("{}.png", name));
  }
  write_file(run / "phantom/manifest.csv",
             "patient_id,ct,cxr,pe\na,a.nii,a.png,1\nb,b.nii,b.png,0\n");
}

TEST(PreprocessCommand, TakesTheRunsPhantomManifestAndGoesOnWhenRunAgain) {
  TemporaryFolder run;
  put_pairs(run);
  const std::string line = "preprocess --run " + run.path().string() + kSmall;
  const auto first = run_binary(line);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(Dataset::open(run / "dataset").cases().size(), 2u);
  const auto second = run_binary(line);
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_CONTAINS(second.err, "2 of them done before");
}

TEST(PreprocessCommand, ExitCodesTellWhatHappened) {
  TemporaryFolder run;
  put_pairs(run);
  write_file(run / "bad.nii", "no volume");
  const std::string base = "preprocess --run " + run.path().string() + kSmall;
  EXPECT_EQ(run_binary(base + " --input " + (run / "absent").string()).exit_code, 2);
  EXPECT_EQ(run_binary(base + " --input " + (run / "bad.nii").string()).exit_code, 2);
  const auto partial = run_binary(base + " --input " + (run / "bad.nii").string() + " " +
                                  (run / "phantom/manifest.csv").string());
  EXPECT_EQ(partial.exit_code, 3) << partial.err;
  const auto other = run_binary(base + " --preprocess.margin_mm 9");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_CONTAINS(other.err, "preprocess.margin_mm: 0 -> 9");
  EXPECT_EQ(run_binary(base + " --preprocess.margin_mm 9 --force").exit_code, 0);
  EXPECT_EQ(run_binary(base + " --preprocess.box heart").exit_code, 1);
}

TEST(PreprocessCommand, TakesRealSeriesAndVolumes) {
  X2CTPA_NEEDS_REAL_DATA("ct_dicom");
  const fs::path real = test::real_data("");
  TemporaryFolder run;
  const auto result = run_binary(
      fmt::format("preprocess --run {} --input {}/ct_dicom/* {}/ct_volume/CIP_ct-64.nrrd "
                  "--preprocess.grid 24,48,48",
                  run.path().string(), real.string(), real.string()));
  // The folder's licence text is no study.
  EXPECT_TRUE(result.exit_code == 0 || result.exit_code == 3) << result.err;
  EXPECT_EQ(Dataset::open(run / "dataset").cases().size(), 3u);
}

}  // namespace
}  // namespace x2ctpa
