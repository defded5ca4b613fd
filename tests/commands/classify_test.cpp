#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "commands/run_binary.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/preprocess/splits.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/models/pe_classifier.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// 40 patients whose volumes are noise, with a bright block where there is PE; 10 of them for
// testing, the others in three folds.
class Classify : public ::testing::Test {
 protected:
  void SetUp() override {
    DatasetInfo info;
    info.grid_dhw = {6, 16, 16};
    std::vector<Case> cases;
    fs::create_directories(run() / "dataset" / "ct");
    for (int i = 0; i < 40; ++i) {
      const std::string id = fmt::format("c{:02}", i);
      Case c{id, "p" + id, i % 4 == 3 ? "test" : "train", i % 2, "ct/" + id + ".nii", ""};
      Volume v;
      v.hu = 150 + 100 * case_noise(1, id, 0, {6, 16, 16});
      if (*c.pe) v.hu.slice(0, 2, 5).slice(1, 4, 9).slice(2, 4, 9) += 150;
      write_nifti(v, run() / "dataset" / c.ct, "test");
      cases.push_back(c);
    }
    assign_folds(cases, 3, 1);
    write_dataset(run() / "dataset", info, cases);
  }

  fs::path run() const { return folder_.path() / "run"; }

  test::ProgramResult classify(const std::string& more, const std::string& action = "train",
                               int64_t steps = 30) const {
    return test::run_binary(fmt::format(
        "classify {} --run {} --classifier.model.blocks 1,1 --classifier.model.growth 4 "
        "--classifier.model.init_features 8 --classifier.model.drop_rate 0 "
        "--classifier.train.steps {} "
        "--classifier.train.validate_every 10 --classifier.train.checkpoint_every 30 "
        "--classifier.train.learning_rate 0.01 --classifier.train.ema_decay 0 {}",
        action, run().string(), steps, more));
  }
  CsvTable scores(const std::string& arm = "ctpa") const {
    return CsvTable::read(run() / "classifier" / arm / "scores.csv");
  }

  // Two samples of every case: its own volume, and a brighter one.
  void add_samples() const {
    CsvTable samples({"name", "case_id", "sample", "file"});
    const Dataset dataset = Dataset::open(run() / "dataset");
    for (const Case& c : dataset.cases()) {
      for (int k = 0; k < 2; ++k) {
        Volume v = dataset.load_volume(c);
        v.hu = v.hu + 60 * k;
        const std::string name = fmt::format("{}_{}", c.id, k);
        write_nifti(v, run() / "samples" / (name + ".nii.gz"), "SYNTHETIC");
        samples.add({name, c.id, std::to_string(k), name + ".nii.gz"});
      }
    }
    samples.write(run() / "samples" / "samples.csv");
  }

  // The X-ray is one slice of the volume.
  void add_samples_and_xrays() const {
    add_samples();
    Dataset dataset = Dataset::open(run() / "dataset");
    std::vector<Case> cases = dataset.cases();
    fs::create_directories(run() / "dataset" / "cxr");
    for (Case& c : cases) {
      c.cxr = "cxr/" + c.id + ".png";
      write_png16((dataset.load_volume(c).hu[3] / 600).clamp(0, 1), run() / "dataset" / c.cxr);
    }
    DatasetInfo info = dataset.info();
    info.cxr_size = 16;
    write_dataset(run() / "dataset", info, cases);
  }

  double area(const std::string& arm, const std::string& split) const {
    std::vector<int> labels;
    std::vector<double> values;
    const CsvTable table = scores(arm);
    for (size_t row = 0; row < table.size(); ++row) {
      if (table.at(row, "split") != split) continue;
      labels.push_back(table.at(row, "label") == "1");
      values.push_back(std::stod(table.at(row, "score")));
    }
    return roc_auc(labels, values);
  }

  test::TemporaryFolder folder_;
};

TEST_F(Classify, WithFoldsScoresEachCaseByTheNetworkThatHasNotSeenIt) {
  const auto result =
      classify("--arm ctpa --classifier.flip true --classifier.shift 0.05 --classifier.noise 0.01");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Dataset dataset = Dataset::open(run() / "dataset");
  PeClassifier classifier(run() / "classifier/ctpa/model", c10::kCPU);
  ASSERT_EQ(classifier.members(), 3);
  std::map<std::string, Case> cases;
  for (const Case& c : dataset.cases()) cases.emplace(c.id, c);
  const CsvTable table = scores();
  ASSERT_EQ(table.size(), 40u);
  for (size_t row = 0; row < table.size(); ++row) {
    const Case& c = cases.at(table.at(row, "study_id"));
    EXPECT_EQ(table.at(row, "label"), std::to_string(*c.pe));
    EXPECT_EQ(table.at(row, "patient_id"), c.patient_id);
    EXPECT_EQ(table.at(row, "split"), c.split == "test" ? "test" : "val");
    EXPECT_EQ(table.at(row, "fold"), c.split == "test" ? "all" : std::to_string(*c.fold));
    const double score = std::stod(table.at(row, "score"));
    if (c.split == "test") {
      double mean = 0;
      for (int64_t k = 0; k < 3; ++k) mean += classifier.score(dataset.load_ct(c), k) / 3;
      EXPECT_NEAR(score, mean, 1e-6);
    } else {
      EXPECT_NEAR(score, classifier.score(dataset.load_ct(c), *c.fold), 1e-6);
    }
  }
  ASSERT_EQ(classify("--arm ctpa --out " + (run() / "again.csv").string(), "predict").exit_code, 0);
  EXPECT_EQ(read_file(run() / "again.csv"), read_file(run() / "classifier/ctpa/scores.csv"));
}

TEST_F(Classify, TakesActionAndArmWhateverTheirCase) {
  const auto made = classify("--arm CTPA", "Train");
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(fs::exists(run() / "classifier/ctpa/scores.csv"));
  EXPECT_FALSE(fs::exists(run() / "classifier/CTPA"));
}

TEST_F(Classify, KeepsAThresholdOfTheValidationRowsAlone) {
  ASSERT_EQ(classify("--arm ctpa").exit_code, 0);
  std::vector<int> labels;
  std::vector<double> values;
  const CsvTable table = scores();
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.at(row, "split") != "val") continue;
    labels.push_back(table.at(row, "label") == "1");
    values.push_back(std::stod(table.at(row, "score")));
  }
  const double kept = PeClassifier(run() / "classifier/ctpa/model", c10::kCPU).info().threshold;
  EXPECT_DOUBLE_EQ(kept, youden_threshold(labels, values));
  EXPECT_NEAR(std::stod(table.at(0, "threshold")), kept, 1e-8);
  fs::remove_all(run() / "classifier");
  ASSERT_EQ(classify("--arm ctpa --classifier.threshold sensitivity --classifier.sensitivity 1")
                .exit_code,
            0);
  const CsvTable careful = scores();
  for (size_t row = 0; row < careful.size(); ++row) {
    if (careful.at(row, "split") == "val" && careful.at(row, "label") == "1") {
      EXPECT_GE(std::stod(careful.at(row, "score")),
                std::stod(careful.at(row, "threshold")) - 1e-8);
    }
  }
}

TEST_F(Classify, FoldsTrainedOneByOneGiveTheScoresOfOneCall) {
  ASSERT_EQ(classify("--arm ctpa").exit_code, 0);
  const std::string together = read_file(run() / "classifier/ctpa/scores.csv");
  fs::remove_all(run() / "classifier");
  for (int fold : {2, 0, 1})
    ASSERT_EQ(classify(fmt::format("--arm ctpa --fold {}", fold)).exit_code, 0);
  EXPECT_FALSE(fs::exists(run() / "classifier/ctpa/scores.csv"));
  ASSERT_EQ(classify("--arm ctpa").exit_code, 0);
  EXPECT_EQ(read_file(run() / "classifier/ctpa/scores.csv"), together);
  EXPECT_EQ(classify("--arm ctpa --fold 3").exit_code, 1);
}

TEST_F(Classify, StopsEarlyByTheValidationAucAndKeepsTheBestNetwork) {
  const auto result =
      classify("--arm ctpa --classifier.folds false --classifier.train.patience 2", "train", 400);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(read_file(run() / "classifier/ctpa/metrics.jsonl"));
  int64_t last = 0;
  double best = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto entry = nlohmann::json::parse(line);
    last = entry["step"];
    if (entry.contains("val_auc")) best = std::max(best, entry["val_auc"].get<double>());
  }
  EXPECT_LT(last, 400);
  std::vector<int> labels;
  std::vector<double> values;
  const CsvTable table = scores();
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.at(row, "split") != "val") continue;
    labels.push_back(table.at(row, "label") == "1");
    values.push_back(std::stod(table.at(row, "score")));
  }
  EXPECT_NEAR(roc_auc(labels, values), best, 1e-9);
  EXPECT_EQ(table.at(0, "fold"), "");
}

TEST_F(Classify, AveragesSeveralSamplesOfOneXray) {
  add_samples();
  const Dataset dataset = Dataset::open(run() / "dataset");
  const auto result = classify("--arm generated");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  PeClassifier classifier(run() / "classifier/generated/model", c10::kCPU);
  const CsvTable table = scores("generated");
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.at(row, "split") != "val") continue;
    double mean = 0;
    for (int k = 0; k < 2; ++k) {
      const Volume v = read_volume(run() / "samples" /
                                   fmt::format("{}_{}.nii.gz", table.at(row, "study_id"), k));
      mean += 0.5 * classifier.score(dataset.info().window.to_unit(v.hu).unsqueeze(0),
                                     std::stoi(table.at(row, "fold")));
    }
    EXPECT_NEAR(std::stod(table.at(row, "score")), mean, 1e-6);
  }
}

TEST_F(Classify, LinearHeadIsTheSameInOneCallAndFoldByFold) {
  const std::string linear = "--arm ctpa --classifier.head linear --classifier.linear.components 5";
  const auto result = classify(linear);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  PeClassifier classifier(run() / "classifier/ctpa/model", c10::kCPU);
  EXPECT_EQ(classifier.members(), 3);
  EXPECT_EQ(classifier.info().head, PeHead::linear);
  EXPECT_NEAR(classifier.info().validation_auc, area("ctpa", "val"), 1e-6);
  EXPECT_GT(area("ctpa", "val"), 0.9);
  const std::string together = read_file(run() / "classifier/ctpa/scores.csv");
  ASSERT_EQ(classify("--arm ctpa --out " + (run() / "again.csv").string(), "predict").exit_code, 0);
  EXPECT_EQ(read_file(run() / "again.csv"), together);
  fs::remove_all(run() / "classifier");
  for (int fold : {2, 0, 1})
    ASSERT_EQ(classify(fmt::format("{} --fold {}", linear, fold)).exit_code, 0);
  EXPECT_FALSE(fs::exists(run() / "classifier/ctpa/scores.csv"));
  ASSERT_EQ(classify(linear).exit_code, 0);
  EXPECT_EQ(read_file(run() / "classifier/ctpa/scores.csv"), together);
}

TEST_F(Classify, BestHeadIsTheOneWithTheLargerValidationArea) {
  const auto result = classify("--arm ctpa --classifier.head best", "train", 2);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto info = PeClassifier(run() / "classifier/ctpa/model", c10::kCPU).info();
  const double densenet = area("ctpa/densenet", "val"), linear = area("ctpa/linear", "val");
  EXPECT_EQ(info.head, densenet > linear ? PeHead::densenet : PeHead::linear);
  EXPECT_NEAR(info.validation_auc, std::max(densenet, linear), 1e-6);
  EXPECT_NEAR(info.other_head_auc, std::min(densenet, linear), 1e-6);
  EXPECT_NEAR(area("ctpa", "val"), info.validation_auc, 1e-6);
  EXPECT_NE(result.err.find("head is taken"), std::string::npos) << result.err;
}

TEST_F(Classify, TransferScoresGeneratedVolumesByTheClassifierOfTrueOnes) {
  add_samples_and_xrays();
  const auto early = classify("--arm transfer");
  EXPECT_EQ(early.exit_code, 2) << early.err;
  ASSERT_EQ(classify("--arm ctpa --classifier.head linear").exit_code, 0);
  const auto result = classify("--arm transfer");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  PeClassifier classifier(run() / "classifier/ctpa/model", c10::kCPU);
  const Dataset dataset = Dataset::open(run() / "dataset");
  const CsvTable table = scores("transfer");
  ASSERT_EQ(table.size(), 40u);
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.at(row, "split") != "test") continue;
    double mean = 0;
    for (int k = 0; k < 2; ++k) {
      const Volume v = read_volume(run() / "samples" /
                                   fmt::format("{}_{}.nii.gz", table.at(row, "study_id"), k));
      mean += 0.5 * classifier.score(dataset.info().window.to_unit(v.hu).unsqueeze(0));
    }
    EXPECT_NEAR(std::stod(table.at(row, "score")), mean, 1e-6);
  }
  ASSERT_EQ(classify("--arm transfer --out " + (run() / "again.csv").string(), "predict").exit_code,
            0);
  EXPECT_EQ(read_file(run() / "again.csv"), read_file(run() / "classifier/transfer/scores.csv"));
}

TEST_F(Classify, FusedIsTheMeanOfTwoTrainedArmsWhateverTheirHeads) {
  add_samples_and_xrays();
  EXPECT_EQ(classify("--arm fused").exit_code, 2);
  for (const char* arm : {"cxr", "generated"})
    ASSERT_EQ(classify(fmt::format("--arm {} --classifier.head linear", arm)).exit_code, 0);
  const auto result = classify("--arm fused --classifier.head linear");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GT(area("fused", "val"), 0.8);
  ASSERT_EQ(classify("--arm fused --out " + (run() / "again.csv").string(), "predict").exit_code,
            0);
  EXPECT_EQ(read_file(run() / "again.csv"), read_file(run() / "classifier/fused/scores.csv"));
  ASSERT_EQ(classify("--arm distilled").exit_code, 0);
  EXPECT_GT(area("distilled", "val"), 0.6);
}

TEST_F(Classify, CasesWithoutALabelAreTaughtByTrueVolumes) {
  add_samples_and_xrays();
  const Dataset dataset = Dataset::open(run() / "dataset");
  std::vector<Case> cases = dataset.cases();
  for (size_t i = 0; i < cases.size(); ++i)
    if (cases[i].split == "train" && i % 8 > 2) cases[i].pe.reset();
  DatasetInfo info = dataset.info();
  write_dataset(run() / "dataset", info, cases);
  const auto taught =
      classify("--arm generated --classifier.head linear --classifier.unlabelled taught");
  ASSERT_EQ(taught.exit_code, 0) << taught.err;
  EXPECT_NE(taught.err.find("learns from the head of true volumes"), std::string::npos)
      << taught.err;
  EXPECT_NE(taught.err.find("20 training cases, 10 of them labelled"), std::string::npos)
      << taught.err;
  EXPECT_GT(area("generated", "val"), 0.8);
  const auto refused =
      classify("--arm generated --classifier.head densenet --classifier.unlabelled taught");
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_NE(refused.err.find("classifier.head linear"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace x2ctpa
