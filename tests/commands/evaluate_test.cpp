#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "commands/report_page.h"
#include "commands/run_binary.h"
#include "commands/synthetic_run.h"
#include "data/synthetic_study.h"
#include "evaluation/steps.h"
#include "support/test_volumes.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/models/model_folder.h"

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
  fs::path page() const { return run / "evaluation" / "report.html"; }

  // The report draws from the JSON embedded in it: what stands there is shown.
  std::string shown() const { return test::embedded_json(page(), "data").dump(); }

  // Rewrites a CSV of the run row by row; an empty result drops the row.
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
                           "table.md", "table.tex", "problems.csv", "report.html"}) {
    EXPECT_TRUE(fs::exists(run / "evaluation" / file)) << file;
  }
  EXPECT_NE(result.out.find("PSNR"), std::string::npos);
  EXPECT_NE(result.out.find("report.html"), std::string::npos);
  const json m = metrics();
  EXPECT_EQ(m["schema"], "x2ctpa.evaluation/2");
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

TEST_F(Evaluate, OfPlainFoldersTakesEveryVolumeFormatInAnyCase) {
  const fs::path real = run / "real", made = run / "made", cxr = run / "xrays";
  for (const auto& folder : {real, made, cxr}) fs::create_directories(folder);
  fs::copy_file(run / "dataset/ct/case014.nii", real / "case014.NII");
  test::write_nhdr(read_volume(run / "dataset/ct/case015.nii"), real / "case015.nhdr");
  fs::copy_file(run / "samples/case014.nii.gz", made / "case014.NII.GZ");
  fs::copy_file(run / "samples/case015.nii.gz", made / "case015.nii.gz");
  for (const char* name : {"case014.PNG", "case015.Png"})
    write_png8(torch::rand({32, 32}), cxr / name);
  const auto result = test::run_binary(
      fmt::format("evaluate --generated {} --real {} --cxr {} --out {}", made.string(),
                  real.string(), cxr.string(), (run / "evaluation").string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json m = metrics();
  EXPECT_EQ(m["images"]["cases"], 2);
  for (const auto& p : m["problems"])
    EXPECT_EQ(p["kind"].get<std::string>().find("unpaired"), std::string::npos) << p;
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
  EXPECT_NE(shown().find("case015"), std::string::npos);
}

TEST_F(Evaluate, LeavesOutNanScoresAndSaysWhenThereIsOneClassOrOneScore) {
  edit("classifier/cxr/scores.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 10) fields[3] = "nan";
  });
  edit("classifier/ctpa/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[2] = "1"; });
  edit("classifier/generated/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[3] = "0.5"; });
  ASSERT_EQ(evaluate().exit_code, 3) << "the dataset contradicts the labels of ctpa";
  const json arms = metrics()["classification"]["arms"];
  EXPECT_EQ(arms["cxr"]["n"], 8);
  EXPECT_TRUE(arms["ctpa"]["auc"].is_null());
  EXPECT_EQ(arms["generated"]["auc"], 0.5);
  EXPECT_TRUE(arms["generated"]["auc_delong"].is_null());
  EXPECT_NE(shown().find("one class only"), std::string::npos);
  EXPECT_NE(shown().find("all scores are equal"), std::string::npos);
}

TEST_F(Evaluate, ARowOfScoresThatCannotBeReadIsAFailure) {
  edit("classifier/cxr/scores.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 10) fields[3] = "abc";
    if (row == 11) fields[2] = "maybe";
    if (row == 12) fields[2] = "0.0";
  });
  const auto result = evaluate();
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_EQ(metrics()["classification"]["arms"]["cxr"]["n"], 7);
  const CsvTable problems = CsvTable::read(run / "evaluation" / "problems.csv");
  EXPECT_NE(problems.text().find("score is not a number"), std::string::npos);
  EXPECT_NE(problems.text().find("label is neither 0 nor 1"), std::string::npos);
}

TEST_F(Evaluate, StudiesOfOnePatientAreRemarkedSinceDelongTakesThemAsIndependent) {
  edit("classifier/cxr/scores.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 10 || row == 11) fields[1] = "one patient";
  });
  ASSERT_EQ(evaluate().exit_code, 0);
  EXPECT_NE(shown().find("2 of 9 studies share a patient"), std::string::npos);
  const CsvTable problems = CsvTable::read(run / "evaluation" / "problems.csv");
  EXPECT_NE(problems.text().find("several studies of a patient"), std::string::npos);
}

TEST_F(Evaluate, PrintsAProtocolBesideEveryNumber) {
  ASSERT_EQ(evaluate("--evaluate.protocols paper,x2ct --window-hu -1000,500").exit_code, 0);
  const CsvTable table = CsvTable::read(run / "evaluation" / "image_quality.csv");
  std::set<std::string> protocols, metrics_found;
  for (size_t row = 0; row < table.size(); ++row) {
    protocols.insert(table.at(row, "protocol"));
    metrics_found.insert(table.at(row, "metric"));
  }
  EXPECT_EQ(protocols, (std::set<std::string>{"paper/1", "x2ct/1", "x2ctpa/1"}));
  for (const char* metric :
       {"ms_ssim_3d", "lung_ssim_3d", "gradient_mae_hu_per_mm", "vessel_dice", "lung_dice",
        "projection", "x2ct_planes_ssim", "x2ct_printed_planes_psnr_db", "x2ct_cosine"}) {
    EXPECT_TRUE(metrics_found.count(metric)) << metric;
  }
}

TEST_F(Evaluate, TheNumbersThatX2ctGanPrintsAreHigherByItsPeak) {
  ASSERT_EQ(evaluate("--evaluate.protocols x2ct").exit_code, 0);
  const json found = metrics()["images"]["metrics"];
  const auto median = [&](const char* key) {
    return found[key]["generated"]["median"].get<double>();
  };
  EXPECT_NEAR(median("x2ct_printed_psnr_db") - median("x2ct_psnr_db"), 4.29, 0.01);
  EXPECT_NEAR(median("x2ct_mse_hu2"), 2500 * 2500 / std::pow(10, median("x2ct_psnr_db") / 10), 2);
  EXPECT_LT(median("x2ct_cosine"), 1);
}

TEST_F(Evaluate, DividesByTheColumnsThatTheDatasetKeeps) {
  const Dataset set = Dataset::open(run / "dataset");
  std::vector<Case> cases = set.cases();
  for (Case& c : cases)
    c.groups = {{"central_pe", c.pe == 1 ? "1" : "0"}, {"all", "yes"}, {"name", c.id}};
  DatasetInfo info = set.info();
  write_dataset(run / "dataset", info, cases);
  ASSERT_EQ(evaluate().exit_code, 0);
  const CsvTable table = CsvTable::read(run / "evaluation" / "subgroups.csv");
  const json found = metrics();
  int areas = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    EXPECT_NE(table.at(i, "column"), "name") << "it divides into cases";
    const std::string number = table.at(i, "number");
    if (table.at(i, "source") == "cxr" && number.starts_with("auc") &&
        table.at(i, "value") != "0") {
      // Positives alone are held against all without PE, which is every study here.
      EXPECT_EQ(number, table.at(i, "column") == "all" ? "auc" : "auc_against_all_without_pe");
      EXPECT_NEAR(std::stod(table.at(i, "estimate")),
                  found["classification"]["arms"]["cxr"]["auc"].get<double>(), 1e-5);
      ++areas;
    }
    if (table.at(i, "column") == "all" && number == "psnr_db") {
      EXPECT_NEAR(std::stod(table.at(i, "estimate")),
                  found["images"]["metrics"]["psnr_db"]["generated"]["median"].get<double>(), 1e-3);
    }
  }
  EXPECT_EQ(areas, 2);
}

TEST_F(Evaluate, LungsThatTheWindowCutsOffAreADashWithTheReason) {
  const auto narrow = evaluate();
  ASSERT_EQ(narrow.exit_code, 0) << narrow.err;
  json images = metrics()["images"];
  for (const char* key : {"lung_psnr_db", "lung_ssim_3d", "lung_mae_hu"}) {
    EXPECT_FALSE(images["metrics"].contains(key)) << key;
    EXPECT_EQ(images["untold"][key]["reason"], "the window, from -200 HU, cuts the lungs off");
  }
  EXPECT_EQ(images["metrics"]["lung_dice"]["generated"]["n"], 9) << "their border is there";
  EXPECT_CONTAINS(narrow.out, "–  (the window, from -200 HU, cuts the lungs off)");
  if (const auto text = test::shown_text(page())) {
    EXPECT_CONTAINS(*text, "MAE in lungs: the window, from -200 HU, cuts the lungs off.");
  }
  ASSERT_EQ(evaluate("--window-hu -1000,500").exit_code, 0);
  images = metrics()["images"];
  EXPECT_TRUE(images["untold"].empty()) << images["untold"];
  EXPECT_NEAR(images["metrics"]["lung_mae_hu"]["generated"]["median"].get<double>(), 19, 4)
      << "noise of 20 to 28 HU";
}

TEST_F(Evaluate, OfOneCaseAndOneStudyTellsNoTestAndNoShare) {
  for (const char* folder : {"real", "made"}) fs::create_directories(run / folder);
  fs::copy_file(run / "dataset/ct/case014.nii", run / "real/case014.nii");
  fs::copy_file(run / "samples/case014.nii.gz", run / "made/case014.nii.gz");
  write_file(run / "one.csv", "study_id,label,score\na,1,0.2\n");
  const auto result = test::run_binary(fmt::format(
      "evaluate --generated {0}/made --real {0}/real --scores one={0}/one.csv --out {0}/evaluation",
      run.string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json m = metrics(), arm = m["classification"]["arms"]["one"];
  for (const auto& [key, metric] : m["images"]["metrics"].items())
    EXPECT_FALSE(metric.contains("generated_against_wrong_cxr")) << key;
  EXPECT_TRUE(arm["accuracy"]["value"].is_null()) << arm;
  EXPECT_TRUE(arm["auc"].is_null());
  EXPECT_TRUE(arm["calibration"].is_null());
  EXPECT_CONTAINS(arm["notes"].dump(), "no share of fewer than 5 studies is told: accuracy (1)");
  EXPECT_CONTAINS(result.out, "Image quality, 1 case,");
  EXPECT_EQ(result.out.find("Wilcoxon"), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("    0.0"), std::string::npos) << result.out;
  if (const auto text = test::shown_text(page())) {
    EXPECT_EQ(text->find("1 cases"), std::string::npos) << *text;
    EXPECT_EQ(text->find("1 studies"), std::string::npos) << *text;
  }
}

TEST_F(Evaluate, OfFewerThanSixPairsGivesADifferenceAndNoP) {
  for (const char* folder : {"real", "made"}) fs::create_directories(run / folder);
  for (int i : {14, 15, 16}) {
    fs::copy_file(run / fmt::format("dataset/ct/case0{}.nii", i),
                  run / fmt::format("real/{}.nii", i));
    fs::copy_file(run / fmt::format("samples/case0{}.nii.gz", i),
                  run / fmt::format("made/{}.nii.gz", i));
  }
  const auto result = test::run_binary(fmt::format(
      "evaluate --generated {0}/made --real {0}/real --out {0}/evaluation", run.string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json test = metrics()["images"]["metrics"]["psnr_db"]["generated_against_wrong_cxr"];
  EXPECT_TRUE(test["p"].is_null());
  EXPECT_TRUE(test["p_holm"].is_null());
  EXPECT_EQ(test["method"], "no p for fewer than 6 pairs");
  EXPECT_GT(test["median_difference"].get<double>(), 0);
}

TEST_F(Evaluate, TellsOfPlainFoldersOnlyWhatIsKnownOfThem) {
  const std::string folders = fmt::format(
      "evaluate --generated {0}/samples --real {0}/dataset/ct --out {0}/evaluation", run.string());
  write_file(run / "plain.csv",
             "study_id,label,score\na,1,0.9\nb,0,0.2\nc,1,0.8\nd,0,0.6\ne,1,0.3\nf,0,0.1\n");
  const auto result = test::run_binary(folders + " --scores mine=" + (run / "plain.csv").string());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json m = metrics();
  EXPECT_TRUE(m["protocol"]["split"].is_null());
  std::string told = result.out + m["captions"]["image_quality"].get<std::string>() +
                     m["captions"]["classification"].get<std::string>() +
                     m["captions"]["psnr_by_case"].get<std::string>() +
                     read_file(run / "evaluation/table.tex");
  for (const char* unknown : {"right CXR", "wrong CXR", "split", "Split", "patient's", "training",
                              "0 cases", "paper:", "Paper", "arXiv", "validation", "Transferred"})
    EXPECT_EQ(told.find(unknown), std::string::npos) << unknown << " in " << told;
  EXPECT_CONTAINS(told, "percent at evaluate.threshold, 0.5");
  EXPECT_CONTAINS(told, "p, another");
  if (const auto text = test::shown_text(page())) {
    EXPECT_EQ(text->find("right CXR"), std::string::npos) << *text;
    EXPECT_CONTAINS(*text, "PSNR, generated volume");
    EXPECT_CONTAINS(*text, "Another case's volume");
  }
  // With a table that has splits, those of the table are told.
  const auto split =
      test::run_binary(folders + " --scores mine=" + (run / "classifier/cxr/scores.csv").string());
  ASSERT_EQ(split.exit_code, 0) << split.err;
  EXPECT_CONTAINS(metrics()["captions"]["classification"].get<std::string>(), "Split test.");
  EXPECT_CONTAINS(split.out, "percent at the threshold of each table");
}

TEST_F(Evaluate, OfFoldersWithoutACommonNameSaysHowTheyArePaired) {
  fs::create_directories(run / "made");
  fs::copy_file(run / "samples/case014.nii.gz", run / "made/other.nii.gz");
  const auto result = test::run_binary(fmt::format(
      "evaluate --generated {0}/made --real {0}/dataset/ct --out {0}/evaluation", run.string()));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_CONTAINS(result.err, "paired by file name without ending");
  EXPECT_EQ(result.err.find("x2ctpa sample"), std::string::npos) << result.err;
}

TEST_F(Evaluate, MeasuresArteriesWhereThereAreMasksOfThem) {
  for (int i = 14; i < 23; ++i) {
    Volume mask = read_volume(run / fmt::format("dataset/ct/case0{}.nii", i));
    auto arteries = torch::zeros_like(mask.hu);
    arteries.slice(0, 11, 15).slice(1, 14, 20).slice(2, 10, 30).fill_(1);
    mask.hu = arteries * (mask.hu >= 300);
    write_nifti(mask, run / fmt::format("phantom/case0{}/artery_mask.nii.gz", i), "SYNTHETIC");
  }
  ASSERT_EQ(evaluate().exit_code, 0);
  const json m = metrics()["images"]["metrics"];
  EXPECT_EQ(m["artery_dice"]["generated"]["n"], 9);
  EXPECT_GT(m["artery_dice"]["generated"]["median"], m["artery_dice"]["wrong_cxr"]["median"]);
  EXPECT_NEAR(m["artery_contrast_hu"]["generated"]["median"].get<double>(), 0, 10);
}

// Puts clots of 50 HU into the right half of the arteries of every test case and its sample, and
// the masks of lungs, arteries and clots into the dataset.
void add_clots_and_masks(const fs::path& run) {
  for (int i = 14; i < 23; ++i) {
    const fs::path ct = run / fmt::format("dataset/ct/case0{}.nii", i),
                   sample = run / fmt::format("samples/case0{}.nii.gz", i);
    Volume truth = read_volume(ct), made = read_volume(sample);
    const auto lungs = truth.hu == -850;
    auto bright = torch::zeros_like(truth.hu);
    bright.slice(0, 11, 15).slice(1, 14, 20).slice(2, 10, 30).fill_(1);
    bright = bright * (truth.hu >= 300);
    auto clot = bright.clone();
    clot.slice(2, 19).zero_();
    truth.hu = at::where(clot == 1, 50, truth.hu);
    made.hu = at::where(clot == 1, 50, made.hu);
    write_nifti(truth, ct, "true");
    write_nifti(made, sample, "SYNTHETIC");
    for (const auto& [kind, mask] : std::map<std::string, at::Tensor>{
             {"lung", lungs.to(torch::kFloat)}, {"artery", bright}, {"embolus", clot}}) {
      Volume share = truth;
      share.hu = 255 * mask;
      write_nifti(share, run / fmt::format("dataset/masks/case0{}_{}.nii.gz", i, kind), "share");
    }
  }
}

TEST_F(Evaluate, TakesLungsAndArteriesFromMasksWhereTheDatasetHasThem) {
  add_clots_and_masks(run);
  ASSERT_EQ(evaluate().exit_code, 0);
  const json m = metrics(), found = m["images"]["metrics"];
  EXPECT_EQ(m["images"]["lung_masks"], 9);
  EXPECT_EQ(m["images"]["artery_masks"], 9);
  EXPECT_GT(found["lung_dice"]["generated"]["median"], 0.95) << "noise does not reach -500 HU";
  EXPECT_LT(found["lung_dice"]["wrong_cxr"]["median"], found["lung_dice"]["generated"]["median"]);
  EXPECT_EQ(found["artery_dice"]["generated"]["n"], 9);
  EXPECT_NE(shown().find("by the true volume's mask"), std::string::npos);
}

TEST_F(Evaluate, TellsWhatBecomesOfClots) {
  add_clots_and_masks(run);
  ASSERT_EQ(evaluate().exit_code, 0);
  const json lesions = metrics()["lesions"], all = lesions["groups"]["all"];
  EXPECT_EQ(lesions["cases"], 9);
  EXPECT_NEAR(all["truth"]["contrast_share"]["median"].get<double>(), 1, 1e-12);
  EXPECT_NEAR(all["truth"]["dice"]["median"].get<double>(), 1, 1e-12);
  EXPECT_NEAR(all["truth"]["contrast_hu"]["median"].get<double>(), -300, 1);
  EXPECT_NEAR(all["generated"]["contrast_share"]["median"].get<double>(), 1, 0.1);
  EXPECT_GT(all["generated"]["dice"]["median"], 0.95);
  EXPECT_LT(all["mean_volume"]["contrast_share"]["median"], 0.6) << "training has no clots";
  EXPECT_EQ(all["autoencoder"]["dice"]["n"], 0) << "the run has no model";
  EXPECT_LT(lesions["tests"]["dice"]["generated_against_mean_volume"]["p"], 0.05);
  const CsvTable table = CsvTable::read(run / "evaluation/lesions.csv");
  EXPECT_EQ(table.size(), 9u * 4) << "true, right and wrong X-ray, mean volume";
  EXPECT_EQ(table.at(0, "source"), "truth");
  const json pictures = test::embedded_json(page(), "pictures")["lesions"];
  ASSERT_EQ(pictures.size(), 3u);
  EXPECT_TRUE(pictures[0]["autoencoder"].is_null());
  EXPECT_EQ(pictures[0]["clot"].get<std::string>().substr(0, 11), "iVBORw0KGgo");
  const auto text = test::shown_text(page());
  EXPECT_CONTAINS(text.value_or("By size and place"), "By size and place");
}

TEST_F(Evaluate, SaysWhyTheModelsPartsAreNotMeasuredAlone) {
  ASSERT_EQ(evaluate().exit_code, 0);
  EXPECT_NE(shown().find("the run has no diffusion/model"), std::string::npos);
  const json projection = metrics()["images"]["metrics"]["projection"];
  EXPECT_EQ(projection["truth"]["n"], 9);
  EXPECT_GT(projection["truth"]["median"], projection["wrong_cxr"]["median"]);
  const auto broken = evaluate("--model " + (run / "dataset").string());
  EXPECT_EQ(broken.exit_code, 1) << "a model that was asked for must be one";
}

TEST_F(Evaluate, FindsACopyOfATrainingVolumeAndNotAnOrdinarySample) {
  fs::copy_file(run / "dataset/ct/case003.nii", run / "samples/copy.nii");
  edit("samples/samples.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 2) fields[4] = "copy.nii";
  });
  ASSERT_EQ(evaluate().exit_code, 0);
  const json found = metrics()["memorisation"]["image"];
  EXPECT_EQ(found["training"], 6);
  EXPECT_EQ(found["suspicious"], 1);
  EXPECT_EQ(found["cases"][2]["nearest_training"], "case003.nii");
  EXPECT_EQ(found["cases"][2]["generated"], 0);
}

TEST_F(Evaluate, RefusesVolumesOfAnotherWindowAndCountsThem) {
  const Volume made = read_volume(run / "samples/case014.nii.gz");
  Volume unit = made, narrow = made;
  unit.hu = made.hu.clamp(-200, 500) / 350 - 3.0 / 7;
  narrow.hu = made.hu.clamp(0, 400);
  write_nifti(unit, run / "samples/case014.nii.gz", "SYNTHETIC", false);
  write_nifti(narrow, run / "samples/case015.nii.gz", "SYNTHETIC");
  EXPECT_EQ(evaluate().exit_code, 3);
  const json m = metrics();
  EXPECT_EQ(m["images"]["cases"], 7);
  std::string details;
  for (const auto& p : m["problems"]) details += p["detail"].get<std::string>();
  EXPECT_NE(details.find("scaled to [-1, 1]"), std::string::npos) << details;
  EXPECT_NE(details.find("clipped by another window"), std::string::npos) << details;
}

TEST_F(Evaluate, RefusesScoresOfOtherPatientsAndContradictedLabels) {
  edit("classifier/cxr/scores.csv", [](size_t row, std::vector<std::string>& fields) {
    if (row == 9) fields[0] = "stranger";
    if (row == 10) fields[2] = fields[2] == "1" ? "0" : "1";
  });
  EXPECT_EQ(evaluate().exit_code, 3);
  const json m = metrics();
  std::multiset<std::string> kinds;
  for (const auto& p : m["problems"]) kinds.insert(p["kind"]);
  EXPECT_EQ(kinds.count("other patients"), 1u);
  EXPECT_GE(kinds.count("contradicting labels"), 1u);
  EXPECT_NE(shown().find("labels that the dataset contradicts"), std::string::npos);
}

TEST_F(Evaluate, OfTablesWithoutACommonStudyRefusesTheComparison) {
  write_file(run / "a.csv", "study_id,patient_id,label,score\nx,x,0,0.1\ny,y,1,0.9\nz,z,1,0.05\n");
  write_file(run / "b.csv", "study_id,patient_id,label,score\nu,u,0,0.3\nv,v,1,0.2\nw,w,1,0.7\n");
  const auto result = test::run_binary(fmt::format(
      "evaluate --scores a={0}/a.csv --scores b={0}/b.csv --out {0}/evaluation", run.string()));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_TRUE(metrics()["classification"]["comparisons"][0]["delong"].is_null());
  EXPECT_NE(result.err.find("1 of them a failure"), std::string::npos) << result.err;
}

TEST_F(Evaluate, AColumnOfScoresThatIsNearlyOneIsNamedAndOthersListed) {
  const auto scores = [&](const std::string& table) {
    write_file(run / "own.csv", table);
    return test::run_binary(
        fmt::format("evaluate --scores mine={0}/own.csv --out {0}/evaluation", run.string()));
  };
  const auto near = scores(
      "study_id,label,score,patient,ward\na,1,0.9,p,B\nb,0,0.2,p,B\nc,0,0.3,q,B\nd,1,0.6,q,B\n");
  ASSERT_EQ(near.exit_code, 0) << near.err;
  EXPECT_CONTAINS(near.err, "\"patient\" is not read; if it is \"patient_id\"");
  EXPECT_CONTAINS(near.err, "columns that are not read: ward");
  EXPECT_EQ(metrics()["problems"][0]["kind"], "column not read");
  // In any case and with semicolons, columns are read, and then patients are seen to be shared.
  const auto read = scores(
      "Study_ID;LABEL;Score;Patient_Id;Split\na;1;0.9;p;test\nb;0;0.2;p;test\n"
      "c;0;0.3;q;test\nd;1;0.6;q;train\n");
  ASSERT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.err.find("not read"), std::string::npos) << read.err;
  const json told = metrics();
  EXPECT_CONTAINS(told["problems"].dump(), "2 of 3 studies share a patient");
  const auto missing = scores("Study;Label;Probability\na;1;0.9\n");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_CONTAINS(missing.err, "\"Probability\" is not read; if it is \"score\"");
}

TEST_F(Evaluate, OfOneStudyOfAClassTellsNoDetectableDifference) {
  write_file(run / "a.csv", "study_id,label,score\na,1,0.9\nb,0,0.2\nc,0,0.3\nd,0,0.6\ne,0,0.5\n");
  write_file(run / "b.csv", "study_id,label,score\na,1,0.4\nb,0,0.3\nc,0,0.5\nd,0,0.1\ne,0,0.2\n");
  const auto result = test::run_binary(fmt::format(
      "evaluate --scores a={0}/a.csv --scores b={0}/b.csv --out {0}/evaluation", run.string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_CONTAINS(result.out, "too few of a class for a p");
  EXPECT_EQ(result.out.find("nan"), std::string::npos) << result.out;
}

TEST_F(Evaluate, OfTwoStudiesNoAreaIsToldAndEqualScoresFindNoDifference) {
  write_file(run / "two.csv", "study_id,label,score\na,1,0.9\nb,0,0.2\n");
  const auto two = test::run_binary(
      fmt::format("evaluate --scores two={0}/two.csv --out {0}/evaluation", run.string()));
  EXPECT_EQ(two.out.find("1.000"), std::string::npos) << two.out;
  EXPECT_NE(shown().find("no AUC of fewer than"), std::string::npos);
  const auto twice = test::run_binary(
      fmt::format("evaluate --scores a={0}/{1} --scores b={0}/{1} --out {0}/evaluation",
                  run.string(), "classifier/cxr/scores.csv"));
  EXPECT_EQ(twice.out.find("would be found"), std::string::npos) << twice.out;
}

TEST_F(Evaluate, GivesCalibrationNetBenefitAndThePowerOfSmallSets) {
  ASSERT_EQ(evaluate().exit_code, 0);
  const json m = metrics()["classification"], arm = m["arms"]["cxr"], c = arm["calibration"];
  EXPECT_NEAR(c["brier"].get<double>(),
              c["reliability"].get<double>() - c["resolution"].get<double>() +
                  c["uncertainty"].get<double>() + c["within_bins"].get<double>(),
              1e-12);
  EXPECT_EQ(arm["net_benefit"].size(), 99u);
  EXPECT_GT(m["comparisons"][0]["detectable_auc_difference"].get<double>(), 0.1);
  EXPECT_NE(shown().find("small set"), std::string::npos);
}

TEST_F(Evaluate, EveryColumnOfTheTableHoldsNumbersAndThePaperComesOnRequest) {
  for (const bool asked : {false, true}) {
    const auto result = evaluate(asked ? "--published true" : "");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const CsvTable table = CsvTable::read(run / "evaluation/table.csv");
    EXPECT_EQ(table.size(), asked ? 7u : 3u);
    for (const std::string& column : table.columns()) {
      if (column == "arm" || column == "source") continue;
      for (size_t row = 0; row < table.size(); ++row) {
        const std::string text = table.at(row, column);
        char* end = nullptr;
        std::strtod(text.c_str(), &end);
        EXPECT_TRUE(text.empty() || *end == '\0') << column << ": " << text;
      }
    }
    std::string told = result.out + read_file(run / "evaluation/table.csv") +
                       read_file(run / "evaluation/table.md") +
                       read_file(run / "evaluation/table.tex") + shown();
    EXPECT_EQ(told.find("arXiv 2406.16109") != std::string::npos, asked);
  }
  // Arms of other names: the rows stand in every form, and so does their explanation.
  const auto other = test::run_binary(
      fmt::format("evaluate --scores mine={0}/classifier/cxr/scores.csv --published true --out "
                  "{0}/evaluation",
                  run.string()));
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_EQ(CsvTable::read(run / "evaluation/table.csv").size(), 5u);
  EXPECT_CONTAINS(read_file(run / "evaluation/table.tex"), "True CTPA & paper & 0.827");
  EXPECT_CONTAINS(read_file(run / "evaluation/table.tex"), "Generated CTPA & journal & 0.80");
  if (const auto text = test::shown_text(page())) {
    EXPECT_CONTAINS(*text, "True CTPA, paper");
  }
}

TEST_F(Evaluate, WritesThePaperTableInThreeForms) {
  ASSERT_EQ(evaluate("--published true").exit_code, 0);
  const std::string markdown = read_file(run / "evaluation/table.md"),
                    latex = read_file(run / "evaluation/table.tex");
  EXPECT_NE(
      markdown.find(
          "| True CTPA | paper | 0.827 [0.75-0.92] | 76.92 | 78.18 | 73.91 | 58.62 | 87.76 |"),
      std::string::npos)
      << markdown;
  EXPECT_NE(latex.find("Generated CTPA & paper & 0.766"), std::string::npos) << latex;
  EXPECT_NE(latex.find("\\bottomrule"), std::string::npos);
}

TEST_F(Evaluate, MeasuresFeaturesOfATorchScriptNetwork) {
  torch::jit::Module network("network");
  network.define("def forward(self, x):\n  return x[:, 0:1, ::6, ::8].flatten(1)\n");
  network.save((run / "network.pt").string());
  torch::jit::Module video("video");
  video.define("def forward(self, x):\n  return x[:, 0:1, ::8, ::12, ::16].flatten(1)\n");
  video.save((run / "video.pt").string());
  ASSERT_EQ(evaluate(fmt::format("--features {0}/network.pt --video-features {0}/video.pt "
                                 "--evaluate.protocols paper,maisi-2.5d",
                                 run.string()))
                .exit_code,
            0);
  const json f = metrics()["features"];
  EXPECT_EQ(f["fid"]["pictures_real"], 9 * 20);
  EXPECT_EQ(f["fid"]["protocol"], "paper/1");
  EXPECT_EQ(f["fid_2_5d"]["protocol"], "maisi-2.5d/1");
  for (const char* key : {"fid", "fid_2_5d", "fvd"})
    EXPECT_GT(f[key]["value"].get<double>(), 0) << key;
  EXPECT_GT(f["recall"]["value"].get<double>(), 0.5);
  const auto broken = evaluate(fmt::format("--features {}/dataset/dataset.json", run.string()));
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_NE(broken.err.find("TorchScript"), std::string::npos) << broken.err;
}

TEST_F(Evaluate, MeasuresLpipsSliceBySliceAndNothingForACopy) {
  torch::manual_seed(7);
  Lpips lpips;
  save_module(run / "lpips", *lpips, "");
  lpips->eval();
  const auto volume = [&](const fs::path& file) { return read_volume(run / file); };
  write_nifti(volume("dataset/ct/case014.nii"), run / "samples" / "case014.nii.gz", "SYNTHETIC");
  ASSERT_EQ(evaluate("--lpips " + (run / "lpips").string()).exit_code, 0);
  const CsvTable cases = CsvTable::read(run / "evaluation" / "per_case.csv");
  at::NoGradGuard no_grad;
  for (size_t row = 0; row < cases.size(); ++row) {
    const std::string id = cases.at(row, "case_id");
    const double found = std::stod(cases.at(row, "generated_lpips"));
    if (id == "case014") {
      EXPECT_NEAR(found, 0, 1e-6);
    }
    const auto slices = [&](const fs::path& file) {
      return DatasetInfo{}.window.to_unit(volume(file).hu).clamp(-1, 1).unsqueeze(1);
    };
    const auto each =
        lpips->forward(slices("dataset/ct/" + id + ".nii"), slices("samples/" + id + ".nii.gz"));
    EXPECT_NEAR(found, each.mean().item<double>(), 1e-5) << id;
  }
  EXPECT_EQ(metrics()["images"]["metrics"]["lpips"]["protocol"], "paper/1");
}

TEST_F(Evaluate, ComparesTwoEvaluationsCaseByCase) {
  ASSERT_EQ(evaluate("--out " + (run / "a").string()).exit_code, 0);
  for (int i = 14; i < 23; ++i) {
    const fs::path file = run / "samples" / fmt::format("case0{}.nii.gz", i);
    Volume worse = read_volume(file);
    worse.hu += 30;
    write_nifti(worse, file, "SYNTHETIC");
  }
  ASSERT_EQ(evaluate("--out " + (run / "b").string()).exit_code, 0);
  const auto result =
      test::run_binary(fmt::format("evaluate --compare {0}/a {0}/b --out {0}/c", run.string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const CsvTable table = CsvTable::read(run / "c" / "comparison.csv");
  EXPECT_EQ(table.at(0, "number"), "PSNR, median");
  EXPECT_LT(std::stod(table.at(0, "difference")), 0);
  EXPECT_NEAR(std::stod(table.at(0, "p")), 2.0 / 512, 1e-9);
  ASSERT_EQ(evaluate("--evaluate.split all --out " + (run / "d").string()).exit_code, 0);
  EXPECT_EQ(test::run_binary(fmt::format("evaluate --compare {0}/a {0}/d", run.string())).exit_code,
            1);
  EXPECT_EQ(
      test::run_binary(fmt::format("evaluate --compare {0}/a {0}/nowhere", run.string())).exit_code,
      2);
}

TEST_F(Evaluate, WritesABlindedReadingAndAnalysesTheFilledSheets) {
  ASSERT_EQ(evaluate("--reader-study 4").exit_code, 0);
  const fs::path study = run / "evaluation" / "reader-study", readers = study / "for-readers";
  const CsvTable key = CsvTable::read(study / "key.csv"),
                 sheet = CsvTable::read(readers / "sheet.csv");
  ASSERT_EQ(key.size(), 4u);
  EXPECT_TRUE(fs::exists(readers / "pair01/a/0001.dcm"));
  EXPECT_TRUE(fs::exists(readers / "pair04/cxr.png"));
  for (const auto& entry : fs::recursive_directory_iterator(readers))
    EXPECT_EQ(entry.path().string().find("case0"), std::string::npos)
        << "names must not tell the case";
  for (const char* reader : {"AB", "CD"}) {
    CsvTable filled(sheet.columns());
    for (size_t row = 0; row < sheet.size(); ++row) {
      const bool a_is_made = key.at(row, "a") == "generated";
      std::vector<std::string> fields{sheet.at(row, "pair"), reader};
      for (int question = 0; question < 4; ++question) {
        fields.push_back(a_is_made ? "3" : "5");
        fields.push_back(a_is_made ? "5" : "3");
      }
      fields.insert(fields.end(), {a_is_made ? "b" : "a",
                                   row == 0    ? "a"
                                   : a_is_made ? "a"
                                               : "b",
                                   ""});
      filled.add(fields);
    }
    filled.write(readers / fmt::format("{}.csv", reader));
  }
  const auto result =
      test::run_binary(fmt::format("evaluate --readings {0}/AB.csv {0}/CD.csv", readers.string()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::map<std::string, double> values;
  const CsvTable results = CsvTable::read(study / "results.csv");
  for (size_t row = 0; row < results.size(); ++row) {
    if (!results.at(row, "value").empty())
      values[results.at(row, "question") + "/" + results.at(row, "number")] =
          std::stod(results.at(row, "value"));
  }
  EXPECT_EQ(values.at("realism/mean score, generated"), 3);
  EXPECT_EQ(values.at("realism/mean score, real"), 5);
  EXPECT_EQ(values.at("realism/Fleiss' kappa"), 1);
  EXPECT_EQ(values.at("preferred/real"), 1);
  EXPECT_GE(values.at("generated/told rightly"), 0.75);
}

TEST_F(Evaluate, TakesTheThresholdFromValidationRowsWhenTheTableHasNone) {
  edit("classifier/cxr/scores.csv",
       [](size_t, std::vector<std::string>& fields) { fields[5] = ""; });
  ASSERT_EQ(evaluate().exit_code, 0);
  EXPECT_EQ(metrics()["classification"]["arms"]["cxr"]["threshold_source"],
            "Youden on 8 validation rows");
  EXPECT_CONTAINS(metrics()["captions"]["classification"].get<std::string>(),
                  "at each arm's own threshold");
}

TEST_F(Evaluate, ReportNeedsNoNetworkAndStatesItsProtocol) {
  ASSERT_EQ(evaluate().exit_code, 0);
  const std::string html = read_file(page()), metrics = read_file(run / "evaluation/metrics.json");
  for (const char* loads : {"src=\"http", "href=\"http", "@import", "url(http"})
    EXPECT_EQ(html.find(loads), std::string::npos) << loads;
  for (const char* words : {"data range 700 HU", "Research use only", "not for diagnosis",
                            "Wilcoxon", "Wilson", "DeLong", "SHA-256"}) {
    EXPECT_NE(shown().find(words), std::string::npos) << words;
    EXPECT_NE(metrics.find(words), std::string::npos) << words;
  }
}

TEST_F(Evaluate, ReportShowsMetricsJsonAndPicturesOfItsCases) {
  ASSERT_EQ(evaluate().exit_code, 0);
  EXPECT_EQ(test::embedded_json(page(), "data"), metrics());
  const json pictures = test::embedded_json(page(), "pictures")["cases"],
             cases = metrics()["images"]["shown_cases"];
  ASSERT_EQ(cases.size(), 3u);
  ASSERT_EQ(pictures.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(cases[i]["rank"], (std::array{"Best", "Median", "Worst"})[i]);
    EXPECT_EQ(pictures[i]["case"], cases[i]["case"]);
    EXPECT_EQ(pictures[i]["size_dhw"], (json{20, 36, 40}));
    for (const char* key : {"real", "generated", "mip_real", "cxr", "drr_generated"})
      EXPECT_EQ(pictures[i][key].get<std::string>().substr(0, 11), "iVBORw0KGgo")
          << "a PNG: " << key;
  }
  const json by_case = metrics()["images"]["psnr_by_case"];
  EXPECT_EQ(by_case["case"][0], cases[0]["case"]);
  EXPECT_NEAR(by_case["generated"][8].get<double>(), cases[2]["psnr_db"].get<double>(), 1e-6);
}

TEST_F(Evaluate, NoTextOfTheInputCanEndAScriptOfTheReport) {
  ASSERT_EQ(evaluate().exit_code, 0);
  const auto scripts = [&] {
    const std::string html = read_file(page());
    return std::pair(test::occurrences(html, "<script"), test::occurrences(html, "</script"));
  };
  const auto before = scripts();
  const std::string markup = "</script><script>alert(1)</script>{{script}}<!--";
  edit("samples/samples.csv", [&](size_t row, std::vector<std::string>& fields) {
    if (row == 0) fields[0] = fields[1] = markup;
  });
  evaluate();
  EXPECT_EQ(scripts(), before);
  EXPECT_EQ(read_file(page()).find("<!--"), std::string::npos);
  EXPECT_EQ(test::embedded_json(page(), "data"), metrics());
  EXPECT_NE(shown().find(markup), std::string::npos) << "the remarks name the sample";
}

TEST_F(Evaluate, ScriptOfTheReportShowsTheNumbersThatAreOnStdout) {
  const auto result = evaluate();
  ASSERT_EQ(result.exit_code, 0);
  const auto text = test::shown_text(page());
  if (!text) GTEST_SKIP() << "there is no Node.js to run the script of the report";
  const json m = metrics(), arms = m["classification"]["arms"];
  for (const char* metric : {"psnr_db", "mae_hu"}) {
    for (const char* source : source_keys) {
      if (m["images"]["metrics"][metric][source]["n"] == 0) continue;
      const auto median = m["images"]["metrics"][metric][source]["median"].get<double>();
      EXPECT_CONTAINS(*text, "\n" + number_text(median) + " [");
      EXPECT_CONTAINS(result.out, number_text(median));
    }
  }
  for (const auto& [name, arm] : arms.items()) {
    EXPECT_CONTAINS(*text, number_text(arm["auc"].get<double>(), 3));
    for (const char* key : {"accuracy", "specificity", "sensitivity", "ppv", "npv"}) {
      if (arm[key]["value"].is_null()) continue;  // of too few studies
      const std::string percent = number_text(100 * arm[key]["value"].get<double>(), 1);
      EXPECT_CONTAINS(*text, "\n" + percent + " [");
      EXPECT_CONTAINS(result.out, percent);
    }
  }
  for (const auto& c : m["classification"]["comparisons"])
    EXPECT_CONTAINS(*text, "(Holm " + p_text(c["delong"]["p_holm"].get<double>()) + ")");
  for (const auto& [name, caption] : m["captions"].items()) {
    if (name != "diversity" && name != "features" && name != "lesions") {
      EXPECT_CONTAINS(*text, caption.get<std::string>());
    }
  }
  for (const char* words : {"None: every case was paired and read.", "chart: ROC, 10 series",
                            "chart: Diffusion, 2 series"})
    EXPECT_CONTAINS(*text, words);
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
  EXPECT_EQ(evaluate("--scores a=nowhere.csv --out " + run.string()).exit_code, 2);
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
