#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "commands/report_page.h"
#include "commands/run_binary.h"
#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::run_binary;
using test::TemporaryFolder;

constexpr const char* small = " --preprocess.grid 12,20,24 --preprocess.cxr_size 16";

// A run folder whose phantom/manifest.csv names two good pairs.
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
  const std::string line = "preprocess --run " + run.path().string() + small;
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
  const std::string base = "preprocess --run " + run.path().string() + small;
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

// The files below `folder` with their contents' hashes.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      found[entry.path().lexically_relative(folder).string()] = sha256_of_file(entry.path());
  }
  return found;
}

TEST(PreprocessCommand, KilledTwiceItEndsInTheSetOfAnUndisturbedRun) {
  TemporaryFolder run;
  for (int i = 0; i < 14; ++i)
    write_nifti(test::thorax(i), run / "in" / fmt::format("c{}.nii", i), "test");
  write_file(run / "in/broken.nii", "no volume");
  const std::string line =
      fmt::format("preprocess --run {0} --input {0}/in --out {0}/", run.path().string());
  const std::string options = std::string(small) + " --preprocess.workers 2";
  const auto whole = run_binary(line + "whole" + options);
  ASSERT_EQ(whole.exit_code, 3) << whole.err;
  EXPECT_CONTAINS(whole.err, "peak memory");
  for (const int records : {3, 8}) {
    // The program is killed as soon as so many cases are done.
    const std::string kill = fmt::format(
        "killed() {{ \"$@\" & pid=$!; while [ $(ls {}/killed/records 2>/dev/null | grep -c json) "
        "-lt {} ]; "
        "do sleep 0.02; done; kill -9 $pid; wait $pid; }}; killed ",
        run.path().string(), records);
    const auto killed = run_binary(line + "killed" + options, kill);
    EXPECT_EQ(killed.exit_code, 137) << killed.err;
    EXPECT_FALSE(fs::exists(run / "killed/dataset.json"));
  }
  const auto last = run_binary(line + "killed" + options);
  EXPECT_EQ(last.exit_code, 3) << last.err;
  EXPECT_EQ(contents(run / "killed"), contents(run / "whole"));
}

TEST(PreprocessCommand, RanksOfTorchrunOrSlurmShareTheStudies) {
  TemporaryFolder run;
  put_pairs(run);
  const std::string line = "preprocess --run " + run.path().string() + small;
  const auto first = run_binary(line, "RANK=0 WORLD_SIZE=2 ");
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_CONTAINS(first.err, "share 1 of 2 is done");
  EXPECT_FALSE(fs::exists(run / "dataset/dataset.json"));
  EXPECT_EQ(run_binary(line, "SLURM_PROCID=1 SLURM_NTASKS=2 ").exit_code, 0);
  EXPECT_EQ(Dataset::open(run / "dataset").cases().size(), 2u);
  // A batch script is told of its tasks, but is none of them.
  EXPECT_CONTAINS(run_binary(line, "SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_NTASKS=2 ").err,
                  "2 studies in");
  const auto wrong = run_binary(line + " --shard 3/2");
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_CONTAINS(wrong.err, "i from 1 to n");
}

TEST(PreprocessCommand, TwoCallsForOneFolderAreRefused) {
  TemporaryFolder run;
  put_pairs(run);
  fs::create_directories(run / "dataset");
  // flock stands for a call that is still at work.
  const auto result = run_binary("preprocess --run " + run.path().string() + small,
                                 "flock " + (run / "dataset").string() + " ");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_CONTAINS(result.err, "another x2ctpa preprocess is working in");
  EXPECT_CONTAINS(result.err, "--shard");
}

TEST(PreprocessCommand, MarkupInTheNamesOfFilesStaysTextInTheReport) {
  TemporaryFolder run;
  const std::string markup = "<script>alert(1)</script>{{script}}<!--.nii";  // a folder and a file
  write_file(run / ("in/" + markup), "no volume");
  const auto result = run_binary("preprocess --check --run " + run.path().string() + small +
                                 " --input " + (run / "in").string());
  EXPECT_EQ(result.exit_code, 2) << result.err;
  const fs::path page = run / "check/report.html";
  const std::string html = read_file(page);
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  EXPECT_EQ(html.find("<!--"), std::string::npos);
  EXPECT_EQ(test::occurrences(html, "<script"), test::occurrences(html, "</script"));
  EXPECT_CONTAINS(test::embedded_json(page, "data").dump(), markup);
  if (const auto text = test::shown_text(page)) {
    EXPECT_CONTAINS(*text, markup);
  }
}

TEST(PreprocessCommand, CheckWritesAReportAndNothingElse) {
  TemporaryFolder run;
  put_pairs(run);
  const std::string base = "preprocess --check --run " + run.path().string() + small;
  const auto good = run_binary(base);
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_CONTAINS(good.out, "2 studies: 2 usable, 0 would be rejected");
  EXPECT_EQ(read_file(run / "check/report.txt"), good.out);
  EXPECT_FALSE(fs::exists(run / "dataset"));
  const fs::path page = run / "check/report.html";
  EXPECT_EQ(read_file(page).find("http"), std::string::npos);
  const auto json = nlohmann::json::parse(read_file(run / "check/report.json"));
  EXPECT_EQ(test::embedded_json(page, "data"), json);
  const auto pictures = test::embedded_json(page, "pictures");
  ASSERT_EQ(pictures.size(), 2u);
  for (const auto& of_study : pictures) EXPECT_EQ(of_study.size(), 3u);
  EXPECT_EQ(pictures[0][2].get<std::string>().substr(0, 11), "iVBORw0KGgo") << "a PNG";
  EXPECT_EQ(json["schema"], "x2ctpa.check/1");
  EXPECT_EQ(json["studies"].size(), 2u);
  EXPECT_EQ(json["studies"][0]["id"], "a");
  write_file(run / "bad.nii", "no volume");
  const auto bad = run_binary(base + " --input " + (run / "bad.nii").string() + " --check-out " +
                              (run / "elsewhere").string());
  EXPECT_EQ(bad.exit_code, 2) << bad.err;
  EXPECT_CONTAINS(read_file(run / "elsewhere/report.txt"), "ct-unreadable");
  EXPECT_CONTAINS(bad.out, "1 study: 0 usable, 1 would be rejected; 1 error, 0 warnings");
  const auto found = nlohmann::json::parse(read_file(run / "elsewhere/report.json"))["by_code"][0];
  EXPECT_EQ(found["code"], "ct-unreadable");
  EXPECT_EQ(found["count"], 1);
  EXPECT_EQ(found["entries"][0]["where"], "bad");
  if (const auto text = test::shown_text(run / "elsewhere/report.html")) {
    EXPECT_CONTAINS(*text, "ct-unreadable");
    EXPECT_CONTAINS(*text, "\nbad: " + found["entries"][0]["what"].get<std::string>());
    EXPECT_CONTAINS(*text, found["what_to_do"].get<std::string>());
  }
  const auto part = run_binary(base + " --input " + (run / "bad.nii").string() + " " +
                               (run / "phantom/manifest.csv").string());
  EXPECT_EQ(part.exit_code, 3) << part.err;
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
