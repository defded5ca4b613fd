#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "../../src/commands/evaluate_steps.h"
#include "commands/run_binary.h"
#include "commands/synthetic_run.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Evaluate : public ::testing::Test {
 protected:
  void SetUp() override {
    run = fs::path(::testing::TempDir()) / fmt::format("x2ctpa_evaluate_{}", ::getpid());
    fs::remove_all(run);
    test::write_synthetic_run(run);
  }
  void TearDown() override { fs::remove_all(run); }

  test::ProgramResult evaluate(const std::string& more = {}) {
    return test::run_binary(fmt::format("evaluate --run {} {}", run.string(), more));
  }
  json metrics() const { return json::parse(read_file(run / "evaluation" / "metrics.json")); }
  std::string report() const { return read_file(run / "evaluation" / "report.html"); }

  /// Rewrites a CSV of the run row by row; an empty result drops the row.
  template <class Edit>
  void edit(const fs::path& file, Edit change) {
    const CsvTable before = CsvTable::read(run / file);
    CsvTable after(before.columns());
    for (size_t row = 0; row < before.size(); ++row) {
      std::vector<std::string> fields;
      for (const auto& column : before.columns()) fields.push_back(before.at(row, column));
      change(row, fields);
      if (!fields.empty()) after.add(fields);
    }
    after.write(run / file);
  }

  fs::path run;
};

TEST_F(Evaluate, OfARunWritesEveryTableAndTheReport) {
  const auto result = evaluate("--runtime.seed 5");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* file : {"metrics.json", "per_case.csv", "image_quality.csv", "table.csv",
                           "problems.csv", "report.html"}) {
    EXPECT_TRUE(fs::exists(run / "evaluation" / file)) << file;
  }
  EXPECT_NE(result.out.find("PSNR"), std::string::npos);
  EXPECT_NE(result.out.find("report.html"), std::string::npos);
  const json m = metrics();
  EXPECT_EQ(m["schema"], "x2ctpa.evaluation/1");
  EXPECT_EQ(m["protocol"]["data_range_hu"], 700);
  EXPECT_EQ(m["protocol"]["seed"], 5);
  EXPECT_EQ(m["images"]["cases"], 9);
  EXPECT_EQ(m["images"]["training_volumes"], 6);
  EXPECT_EQ(m["vqgan_reconstruction"]["psnr_db_mean"], 32);
  EXPECT_EQ(m["classification"]["arms"].size(), 3u);
  EXPECT_EQ(m["classification"]["comparisons"].size(), 3u);
  EXPECT_TRUE(m["problems"].empty()) << m["problems"];
}

TEST_F(Evaluate, FindsTheRightCxrBetterThanAnotherPatientsAndTheMeanVolume) {
  ASSERT_EQ(evaluate().exit_code, 0);
  const json psnr = metrics()["images"]["metrics"]["psnr_db"];
  EXPECT_GT(psnr["generated"]["median"], psnr["wrong_cxr"]["median"]);
  for (const char* test : {"generated_against_wrong_cxr", "generated_against_mean_volume"}) {
    EXPECT_EQ(psnr[test]["n"], 9);
    EXPECT_GT(psnr[test]["median_difference"], 0);
    EXPECT_NEAR(psnr[test]["p"].get<double>(), 2.0 / 512, 1e-12) << "nine pairs of one sign, exact";
    EXPECT_GE(psnr[test]["p_holm"], psnr[test]["p"]);
  }
  const CsvTable cases = CsvTable::read(run / "evaluation" / "per_case.csv");
  std::set<std::string> partners;
  for (size_t row = 0; row < cases.size(); ++row) {
    EXPECT_NE(cases.at(row, "case_id"), cases.at(row, "wrong_case_id"));
    partners.insert(cases.at(row, "wrong_case_id"));
  }
  EXPECT_EQ(partners.size(), cases.size()) << "a derangement takes every sample once";
}

TEST_F(Evaluate, RepeatsItsNumbersBySeed) {
  ASSERT_EQ(evaluate("--out " + (run / "a").string()).exit_code, 0);
  ASSERT_EQ(evaluate("--out " + (run / "b").string()).exit_code, 0);
  EXPECT_EQ(read_file(run / "a" / "per_case.csv"), read_file(run / "b" / "per_case.csv"));
  EXPECT_EQ(read_file(run / "a" / "table.csv"), read_file(run / "b" / "table.csv"));
}

TEST_F(Evaluate, OfPlainFoldersPairsVolumesByFileName) {
  const fs::path real = run / "real", made = run / "made";
  fs::create_directories(real);
  fs::create_directories(made);
  for (int i : {14, 15, 16})
    fs::copy_file(run / "dataset" / "ct" / fmt::format("case0{}.nii", i),
                  real / fmt::format("case0{}.nii", i));
  for (int i : {14, 15, 17})
    fs::copy_file(run / "samples" / fmt::format("case0{}.nii.gz", i),
                  made / fmt::format("case0{}.nii.gz", i));
  const auto result = test::run_binary(fmt::format(
      "evaluate --generated {} --real {} --scores arm={} --out {}", made.string(), real.string(),
      (run / "classifier/cxr/scores.csv").string(), (run / "evaluation").string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json m = metrics();
  EXPECT_EQ(m["images"]["cases"], 2);
  EXPECT_EQ(m["protocol"]["window_source"], "default");
  EXPECT_EQ(m["images"]["metrics"]["psnr_db"]["mean_volume"]["n"], 0);
  EXPECT_TRUE(m["classification"]["arms"].contains("arm"));
  std::multiset<std::string> kinds;
  for (const auto& p : m["problems"]) kinds.insert(p["kind"]);
  EXPECT_EQ(kinds.count("unpaired real"), 1u);
  EXPECT_EQ(kinds.count("unpaired generated"), 1u);
}

TEST_F(Evaluate, CountsMissingDuplicateAndUnreadableSamplesAndGoesOn) {
  write_file(run / "samples" / "case015.nii.gz", "no volume");
  edit("samples/samples.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 0) fields[1] = "stranger";
    if (row == 3) fields[1] = "case016";
  });
  const auto result = evaluate();
  EXPECT_EQ(result.exit_code, 3) << result.err;
  const json m = metrics();
  EXPECT_EQ(m["images"]["cases"], 6);
  std::set<std::string> kinds;
  for (const auto& p : m["problems"]) kinds.insert(p["kind"]);
  for (const char* kind : {"unpaired sample", "further sample", "missing sample", "not evaluated"})
    EXPECT_TRUE(kinds.count(kind)) << kind;
  EXPECT_NE(report().find("case015"), std::string::npos);
}

TEST_F(Evaluate, LeavesOutNanScoresAndSaysWhenThereIsOneClassOrOneScore) {
  edit("classifier/cxr/scores.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 10) fields[3] = "nan";
  });
  edit("classifier/ctpa/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[2] = "1"; });
  edit("classifier/generated/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[3] = "0.5"; });
  ASSERT_EQ(evaluate().exit_code, 0);
  const json arms = metrics()["classification"]["arms"];
  EXPECT_EQ(arms["cxr"]["n"], 8);
  EXPECT_TRUE(arms["ctpa"]["auc"].is_null());
  EXPECT_EQ(arms["generated"]["auc"], 0.5);
  EXPECT_TRUE(arms["generated"]["auc_delong"].is_null());
  EXPECT_NE(report().find("one class only"), std::string::npos);
  EXPECT_NE(report().find("all scores are equal"), std::string::npos);
}

TEST_F(Evaluate, TakesTheThresholdFromValidationRowsWhenTheTableHasNone) {
  edit("classifier/cxr/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[5] = ""; });
  ASSERT_EQ(evaluate().exit_code, 0);
  EXPECT_EQ(metrics()["classification"]["arms"]["cxr"]["threshold_source"],
            "Youden on 8 validation rows");
}

TEST_F(Evaluate, ReportNeedsNoNetworkAndStatesItsProtocol) {
  ASSERT_EQ(evaluate().exit_code, 0);
  const std::string html = report();
  for (const char* loads : {"src=\"http", "href=\"http", "@import", "url(http"})
    EXPECT_EQ(html.find(loads), std::string::npos) << loads;
  for (const char* words : {"data range 700 HU", "Research use only", "not for diagnosis",
                            "Wilcoxon", "Wilson", "DeLong", "0.827 [0.75-0.92]", "SHA-256"}) {
    EXPECT_NE(html.find(words), std::string::npos) << words;
  }
}

TEST_F(Evaluate, WithNothingToEvaluateExitsWith2AndWithWrongUseWith1) {
  EXPECT_EQ(
      test::run_binary(fmt::format("evaluate --run {}", (run / "nowhere").string())).exit_code, 2);
  fs::remove_all(run / "samples");
  fs::remove_all(run / "classifier");
  EXPECT_EQ(evaluate().exit_code, 2);
  EXPECT_EQ(evaluate("--generated " + run.string()).exit_code, 1);
  EXPECT_EQ(evaluate("--evaluate.window_hu 500,-200").exit_code, 1);
  EXPECT_EQ(evaluate("--scores nameless.csv --out " + run.string()).exit_code, 1);
}

TEST(WrongPartners, AreOfOtherPatientsEachTakenOnceWhenThatIsPossible) {
  for (int64_t seed = 0; seed < 50; ++seed) {
    const std::vector<std::string> patients{"a", "a", "b", "c", "c", "c", "d", "e"};
    const auto partner = draw_wrong_partners(patients, seed);
    std::set<int64_t> taken;
    for (size_t i = 0; i < patients.size(); ++i) {
      ASSERT_GE(partner[i], 0);
      EXPECT_NE(patients[partner[i]], patients[i]);
      taken.insert(partner[i]);
    }
    EXPECT_EQ(taken.size(), patients.size());
  }
  EXPECT_EQ(draw_wrong_partners({"a", "a"}, 1), (std::vector<int64_t>{-1, -1}));
  EXPECT_EQ(draw_wrong_partners({"a"}, 1), (std::vector<int64_t>{-1}));
}

}  // namespace
}  // namespace x2ctpa
