// `x2ctpa sample` on folders of X-rays: names, resume, shards, conflicts, outputs and bad input.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "commands/pipeline_fixture.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

class Sample : public test::Pipeline {
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

  static test::ProgramResult sample(const std::string& arguments, const std::string& out,
                                    const std::string& before = {}) {
    return x2ctpa("sample " + arguments + " --out " + path(out).string(), "run", before);
  }

  static std::map<std::string, std::string> checksums(const std::string& out) {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::directory_iterator(path(out))) {
      if (entry.path().extension() == ".gz")
        found[entry.path().filename().string()] = sha256_of_file(entry.path());
    }
    return found;
  }

  static size_t rows(const std::string& file) {
    return fs::exists(path(file)) ? CsvTable::read(path(file)).size() : 0;
  }

  // A text of an explicit little-endian DICOM file, as we write them; "": absent.
  static std::string tag(const fs::path& file, uint16_t group, uint16_t element, const char* vr) {
    const std::string bytes = read_file(file);
    std::string begin;
    for (const uint16_t number : {group, element}) {
      begin += char(number & 0xFF);
      begin += char(number >> 8);
    }
    const size_t at = bytes.find(begin + vr);
    if (at == std::string::npos) return "";
    const auto byte = [&](size_t i) { return size_t(static_cast<unsigned char>(bytes[at + i])); };
    std::string text = bytes.substr(at + 8, byte(6) + 256 * byte(7));
    while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
    return text;
  }

  static double difference(const fs::path& a, const fs::path& b) {
    return (read_volume(a).hu - read_volume(b).hu).abs().max().item<double>();
  }
};

TEST_F(Sample, SeveralSamplesOfAnXrayAreNamedSpreadAndRanked) {
  const std::string classifier = " --classifier " + (root_ / "run/classifier/ctpa/model").string();
  const auto result =
      sample(films() + " --samples-per-cxr 3 --batch-size 4" + classifier, "several");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(rows("several/samples.csv"), 18u);
  const auto spread = CsvTable::read(path("several/uncertainty.csv")),
             ranking = CsvTable::read(path("several/ranking.csv"));
  ASSERT_EQ(spread.size(), 6u);
  ASSERT_EQ(ranking.size(), 18u);
  EXPECT_GT(std::stod(spread.at(0, "mean_std_hu")), 0);
  EXPECT_GT(std::stod(spread.at(0, "pe_std")), 0);
  std::vector<at::Tensor> hu;
  for (const char* name : {"f1_0", "f1_1", "f1_2"})
    hu.push_back(read_volume(path("several") / (std::string(name) + ".nii.gz")).hu);
  const auto std_map = read_volume(path("several") / spread.at(0, "std_file"));
  EXPECT_LT((std_map.hu - at::stack(hu).std(0)).abs().max().item<double>(), 1e-3);
  std::set<std::string> ranks;
  for (size_t r = 0; r < 3; ++r) ranks.insert(ranking.at(r, "rank"));
  EXPECT_EQ(ranks, (std::set<std::string>{"1", "2", "3"}));
  // The first sample is the one that a run of single samples makes.
  ASSERT_EQ(sample(films(), "single").exit_code, 0);
  EXPECT_LE(difference(path("single/f1.nii.gz"), path("several/f1_0.nii.gz")), 1.0);
  for (size_t r = 0; r < spread.size(); ++r)
    EXPECT_EQ(spread.at(r, "summary_of").find('/'), std::string::npos) << "no path is published";
  // A second run has nothing to do; one that lost a summary makes it again, and nothing else.
  EXPECT_NE(
      sample(films() + " --samples-per-cxr 3" + classifier, "several").err.find("nothing to do"),
      std::string::npos);
  fs::remove(path("several/uncertainty/f2_std.nii.gz"));
  EXPECT_NE(
      sample(films() + " --samples-per-cxr 3" + classifier, "several").err.find("0 volumes made"),
      std::string::npos);
  EXPECT_TRUE(fs::exists(path("several/uncertainty/f2_std.nii.gz")));
}

TEST_F(Sample, TakesModelXraysAndFolderAsThreePlainWords) {
  const std::string words =
      fmt::format("{} {} ", path("run/diffusion/model").string(), path("films/f1.dcm").string());
  const auto result = test::run_binary("sample " + words + path("words").string() + " --steps 3");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(rows("words/samples.csv"), 1u);
  const auto told = test::run_binary("info --json " + path("words").string());
  ASSERT_EQ(told.exit_code, 0) << told.err;
  const auto samples = nlohmann::json::parse(told.out);
  EXPECT_EQ(samples["kind"], "samples");
  EXPECT_EQ(samples["volumes"], 1);
  EXPECT_EQ(samples["missing_volumes"], 0);
  EXPECT_EQ(samples["models"].size(), 1u);
  ASSERT_EQ(sample(" --cxr " + path("films/f1.dcm").string(), "flags").exit_code, 0);
  EXPECT_LE(difference(path("words/f1.nii.gz"), path("flags/f1.nii.gz")), 1.0);
  // The run folder stands for the model in it.
  const auto of_run =
      test::run_binary(fmt::format("sample {} {} {} --steps 3", path("run").string(),
                                   path("films/f1.dcm").string(), path("words").string()));
  EXPECT_NE(of_run.err.find("nothing to do: 1 volume is"), std::string::npos) << of_run.err;
  const auto two_films = test::run_binary("sample " + words + path("films/f2.dcm").string());
  EXPECT_EQ(two_films.exit_code, 1);
  EXPECT_NE(two_films.err.find("expected a folder for the volumes, found the file"),
            std::string::npos)
      << two_films.err;
}

TEST_F(Sample, WarnsOfEachUnlikeXrayOnceHoweverOftenItIsRead) {
  const fs::path odd = path("odd");
  fs::create_directories(odd);
  torch::manual_seed(3);
  for (const char* name : {"a.png", "b.png", "c.png"})
    write_png8(torch::rand({64, 64}), odd / name);
  const auto result =
      sample("--cxr " + odd.string() + " --samples-per-cxr 4 --batch-size 3 --steps 3", "of_odd");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("3 X-rays are unlike those"), std::string::npos) << result.err;
  const std::string warning = "is unlike the X-rays that the model was trained with";
  size_t warnings = 0;
  for (size_t at = result.err.find(warning); at != std::string::npos;
       at = result.err.find(warning, at + 1))
    ++warnings;
  EXPECT_EQ(warnings, 3u) << result.err;
}

TEST_F(Sample, KilledResumedShardedAndInOtherBatchesItMakesTheSameBytes) {
  const std::string line = films() + " --deterministic --samples-per-cxr 2 --preview false";
  ASSERT_EQ(sample(line, "whole").exit_code, 0);
  for (int attempt = 0; attempt < 3; ++attempt)
    sample(line + " --batch-size 1 --sample.sampler.steps 3", "killed", "timeout -s KILL 0.7 ");
  ASSERT_EQ(sample(line + " --batch-size 5", "killed").exit_code, 0);
  EXPECT_EQ(checksums("killed"), checksums("whole"));
  EXPECT_EQ(checksums("whole").size(), 12u);

  const auto first = sample(line + " --shard 1/2", "shards");
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(checksums("shards").size(), 6u);
  ASSERT_EQ(sample(line, "shards", "RANK=1 WORLD_SIZE=2 ").exit_code, 0);
  EXPECT_EQ(checksums("shards"), checksums("whole"));
  for (const char* out : {"whole", "killed", "shards"}) {
    EXPECT_EQ(rows(std::string(out) + "/samples.csv"), 12u) << out;
    EXPECT_EQ(rows(std::string(out) + "/uncertainty.csv"), 6u) << out;
  }
}

TEST_F(Sample, VolumesOfOtherSettingsAreLeftReplacedOrJoinedAsAsked) {
  ASSERT_EQ(sample(films(), "conflict").exit_code, 0);
  const auto before = checksums("conflict");
  const auto skipped = sample(films() + " --seed 1", "conflict");
  EXPECT_EQ(skipped.exit_code, 3) << "what was asked for is not there";
  EXPECT_NE(skipped.err.find("6 of 6 volumes were not made"), std::string::npos) << skipped.err;
  EXPECT_NE(skipped.err.find("--on-conflict"), std::string::npos) << skipped.err;
  EXPECT_EQ(skipped.err.find("nothing to do"), std::string::npos) << skipped.err;
  EXPECT_EQ(checksums("conflict"), before);

  for (int again = 0; again < 2; ++again)
    ASSERT_EQ(sample(films() + " --seed 1 --on-conflict suffix", "conflict").exit_code, 0);
  const auto joined = checksums("conflict");
  EXPECT_EQ(joined.size(), 12u) << "the second run finds what the first one made";
  EXPECT_EQ(joined.at("f1.nii.gz"), before.at("f1.nii.gz"));

  ASSERT_EQ(sample(films() + " --seed 1 --on-conflict overwrite", "conflict").exit_code, 0);
  EXPECT_EQ(checksums("conflict").at("f1.nii.gz"), joined.at("f1_2.nii.gz"));
  EXPECT_NE(
      sample(films() + " --seed 1 --on-conflict overwrite", "conflict").err.find("nothing to do"),
      std::string::npos);
}

TEST_F(Sample, AManifestNamesTheXraysAndTheCtsWhoseSpaceTheVolumesTake) {
  write_file(
      path("list.csv"),
      fmt::format(
          "id,cxr,ct\nfirst,{0}/films/f1.dcm,{0}/run/phantom/P0001/ct\nsecond,{0}/films/f2.dcm,\n",
          root_.string()));
  const auto result =
      sample("--cxr " + path("list.csv").string() + " --name v-{id} --dicom --latents", "listed");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Volume placed = read_volume(path("listed/v-first.nii.gz")),
               free = read_volume(path("listed/v-second.nii.gz"));
  const auto ct = oriented_to_lps(read_volume(path("run/phantom/P0001/ct")));
  for (int axis = 0; axis < 3; ++axis) {
    EXPECT_LT(std::abs(placed.centre_mm()[axis] - ct.centre_mm()[axis]), 60)
        << "around the lungs of its own CT";
    EXPECT_NEAR(free.centre_mm()[axis], 0, 1e-3);
    EXPECT_NEAR(placed.spacing_mm[axis], free.spacing_mm[axis], 1e-4);
  }
  const Volume series = read_volume(path("listed/dicom/v-first"));
  EXPECT_TRUE(at::equal(series.hu, placed.hu));
  EXPECT_NEAR(series.origin_mm[2], placed.origin_mm[2], 1e-3);
  EXPECT_TRUE(fs::exists(path("listed/latents/v-second.safetensors")));
  EXPECT_TRUE(fs::exists(path("listed/previews/v-first.png")));
}

TEST_F(Sample, AsDicomSamplesOfAnXrayAreSeriesOfOneStudyOfItsPatient) {
  write_file(path("of_patient.csv"), fmt::format("id,patient_id,cxr\nfirst,p-7,{0}/films/f1.dcm\n"
                                                 "second,p-7,{0}/films/f2.dcm\n",
                                                 root_.string()));
  const auto result = sample("--cxr " + path("of_patient.csv").string() +
                                 " --dicom --preview false --samples-per-cxr 2 --seed 5",
                             "of_patient");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, std::set<std::string>> studies, frames, series, numbers;
  for (const char* id : {"first", "second"}) {
    for (int i = 0; i < 2; ++i) {
      const fs::path slice = path("of_patient/dicom") / fmt::format("{}_{}", id, i) / "0001.dcm";
      EXPECT_EQ(tag(slice, 0x0010, 0x0020, "LO"), "p-7") << "the patient, not the X-ray's id";
      EXPECT_EQ(tag(slice, 0x0008, 0x103e, "LO"),
                fmt::format("SYNTHETIC CTPA, sample {}, seed 5, research use only", i));
      studies[id].insert(tag(slice, 0x0020, 0x000d, "UI"));
      frames[id].insert(tag(slice, 0x0020, 0x0052, "UI"));
      series[id].insert(tag(slice, 0x0020, 0x000e, "UI"));
      numbers[id].insert(tag(slice, 0x0020, 0x0011, "IS"));
    }
    EXPECT_EQ(studies[id].size(), 1u);
    EXPECT_EQ(frames[id].size(), 1u);
    EXPECT_EQ(series[id].size(), 2u);
    EXPECT_EQ(numbers[id], (std::set<std::string>{"1", "2"}));
  }
  EXPECT_NE(studies["first"], studies["second"]) << "two X-rays are two studies";
  EXPECT_NE(frames["first"], frames["second"]);
}

TEST_F(Sample, WhatIsNoXrayIsListedWithItsReasonAndTheRestIsMade) {
  const fs::path folder = path("mixed");
  fs::create_directories(folder);
  fs::copy(path("films/f1.dcm"), folder / "good.dcm", fs::copy_options::overwrite_existing);
  write_file(folder / "text.png", "no picture");
  write_png8(at::zeros({1, 1}), folder / "dot.png");
  write_png8(at::zeros({16, 20000}), folder / "long.png");
  fs::copy(path("run/phantom/P0001/ct"), folder / "ct", fs::copy_options::recursive);
  const auto result = sample("--cxr " + folder.string(), "of_mixed");
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_EQ(checksums("of_mixed").size(), 1u);
  const auto failures = CsvTable::read(path("of_mixed/failures.csv"));
  std::map<std::string, std::string> reasons;
  for (size_t r = 0; r < failures.size(); ++r)
    reasons[failures.at(r, "name")] = failures.at(r, "reason");
  EXPECT_NE(reasons["dot"].find("1 x 1 pixels"), std::string::npos) << reasons["dot"];
  EXPECT_NE(reasons["long"].find("20000 x 16 pixels"), std::string::npos) << reasons["long"];
  EXPECT_FALSE(reasons["text"].empty());
  EXPECT_EQ(reasons.size(), 3u) << "the slices of a CT are no X-rays";
  EXPECT_NE(result.err.find("24 of CT"), std::string::npos) << result.err;
  // Nothing but bad files: no data.
  fs::remove(folder / "good.dcm");
  fs::remove_all(folder / "ct");
  EXPECT_EQ(sample("--cxr " + folder.string(), "of_bad").exit_code, 2);
}

TEST_F(Sample, AThousandUselessPicturesAreAFewLines) {
  const fs::path folder = path("useless");
  for (int i = 0; i < 40; ++i) write_file(folder / fmt::format("{:03d}.png", i), "no picture");
  const auto result = sample("-q --cxr " + folder.string(), "of_useless");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_LT(std::count(result.err.begin(), result.err.end(), '\n'), 15) << result.err;
  EXPECT_NE(result.err.find("40 X-rays gave no volume"), std::string::npos) << result.err;
  EXPECT_EQ(rows("of_useless/failures.csv"), 40u);
}

TEST_F(Sample, AModelFolderWithAMissingFileIsRefusedByTheFilesName) {
  for (const char* file : {"latent.yaml", "autoencoder/model.safetensors", "config.yaml"}) {
    fs::remove_all(path("broken"));
    fs::copy(root_ / "run/diffusion/model", path("broken"), fs::copy_options::recursive);
    fs::remove(path("broken") / file);
    const auto result = sample(films() + " --model " + path("broken").string(), "of_broken");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.err.find(file), std::string::npos) << result.err;
  }
}

TEST_F(Sample, AnOutputFolderThatCannotBeWrittenEndsTheRunBeforeItBegins) {
  const auto result = x2ctpa("sample" + films() + " --out /proc/x2ctpa");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("/proc/x2ctpa"), std::string::npos) << result.err;
}

TEST_F(Sample, ADiskThatFillsUpLeavesFinishedVolumesWholeAndTheNextRunGoesOn) {
  const std::string disk = path("disk").string(), result_folder = path("from_disk").string();
  fs::create_directories(disk);
  fs::create_directories(result_folder);
  const std::string line = std::string(X2CTPA_BINARY) +
                           " sample --deterministic --preview false --batch-size 4" + films() +
                           " --config " + path("tiny.yaml").string() + " --run " +
                           path("run").string() + " --out " + disk;
  // A small disk of its own for the shell, in which two files of 4 kB a volume soon meet the end.
  write_file(path("fill.sh"), "mount -t tmpfs -o size=44k tmpfs " + disk + " || exit 77\n" + line +
                                  "; echo code $?\nls " + disk +
                                  " | grep -c nii.gz\nmount -o remount,size=4m " + disk + "\n" +
                                  line + "; echo code $?\ncp -r " + disk + "/. " + result_folder +
                                  "\n");
  FILE* shell = popen(("unshare -rm sh " + path("fill.sh").string() + " 2>&1").c_str(), "r");
  std::string text;
  char buffer[512];
  while (fgets(buffer, sizeof buffer, shell)) text += buffer;
  const int status = pclose(shell);
  if (text.find("code") == std::string::npos)
    GTEST_SKIP() << "no mounts for this user: " << text << status;
  EXPECT_NE(text.find("code 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("No space left"), std::string::npos) << text;
  EXPECT_NE(text.find("code 0\n"), std::string::npos) << text;
  ASSERT_EQ(sample(films() + " --deterministic --preview false", "undisturbed").exit_code, 0);
  EXPECT_EQ(checksums("from_disk"), checksums("undisturbed"));
  EXPECT_EQ(rows("from_disk/samples.csv"), 6u);
  for (const auto& entry : fs::directory_iterator(path("from_disk"))) {
    EXPECT_NE(entry.path().filename().string().rfind(".part", 0), 0u) << entry.path();
  }
}

TEST_F(Sample, GuidanceChangesVolumesAndOutsideOfItsIntervalDoesNot) {
  const std::string line = films() + " --deterministic --preview false";
  const std::string scale = " --sample.sampler.guidance_scale 3";
  ASSERT_EQ(sample(line, "plain").exit_code, 0);
  ASSERT_EQ(sample(line + scale, "guided").exit_code, 0);
  ASSERT_EQ(
      sample(line + scale + " --sample.sampler.guidance_interval 1e7,1e8", "outside").exit_code, 0);
  EXPECT_EQ(checksums("outside"), checksums("plain"));
  EXPECT_NE(checksums("guided"), checksums("plain"));
}

TEST_F(Sample, WrongUseIsExplained) {
  EXPECT_NE(sample(films() + " --shard 3/2", "wrong").err.find("i/n"), std::string::npos);
  EXPECT_NE(sample(films() + " --name {who}", "wrong").err.find("{stem}"), std::string::npos);
  EXPECT_NE(sample("--reference x", "wrong").err.find("--cxr"), std::string::npos);
  EXPECT_NE(sample(films() + " --samples-per-cxr 2 --classifier " + root_.string(), "wrong")
                .err.find("--classifier"),
            std::string::npos);
  EXPECT_NE(
      sample(films() + " --sample.sampler.guidance_scale 2 --sample.sampler.guidance_interval 3,1",
             "wrong")
          .err.find("ascending"),
      std::string::npos);
}

}  // namespace
}  // namespace x2ctpa
