// What `evaluate` reads, computes and writes. docs/metrics.md states the protocol of each number.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/commands/evaluate_options.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/volume.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa {

/// Something left out or doubtful. `failure`: it should have been evaluated and could not be.
struct Problem {
  std::string kind, name, detail;
  bool failure = false;
};

/// A generated volume and the true one of the same case.
struct SamplePair {
  std::string case_id, patient_id;
  std::filesystem::path generated, real, cxr;        ///< cxr may be empty
  std::string sampler, steps, seed, guidance_scale;  ///< as in samples.csv; may be empty
};

struct ScoreTable {
  std::string name;
  std::filesystem::path file;
};

struct EvaluationInputs {
  std::string title;
  std::filesystem::path run;  ///< empty for plain folders
  std::vector<SamplePair> pairs;
  std::vector<std::filesystem::path> training_volumes;
  std::vector<ScoreTable> scores;
  IntensityWindow window;
  std::string window_source;  ///< "dataset", "evaluate.window_hu" or "default"
  std::string dataset_hash;
  std::optional<double> reconstruction_psnr_db;  ///< mean over held-out cases; of the VQ-GAN alone
  int64_t reconstruction_cases = 0;
  std::vector<Problem> problems;
};

/// Which volume is compared with the true one.
enum Source : int { kGenerated, kWrongCxr, kMeanVolume, kSources };
inline constexpr std::array<const char*, kSources> kSourceKeys{"generated", "wrong_cxr",
                                                               "mean_volume"};

struct CaseResult {
  SamplePair pair;
  std::string wrong_case_id;  ///< empty: no other patient to take
  std::array<std::optional<ImageQuality>, kSources> quality;
};

/// One number of ImageQuality.
struct MetricName {
  const char* key;
  const char* label;
  const char* unit;
  double ImageQuality::*member;
  bool higher_is_better;
};
extern const std::array<MetricName, 5> kMetrics;

struct Distribution {
  int64_t n = 0;
  double mean = 0, sd = 0, median = 0, q1 = 0, q3 = 0, min = 0, max = 0;
};
Distribution distribution_of(std::vector<double> values);

struct BaselineTest {
  WilcoxonResult wilcoxon;  ///< generated - baseline
  double p_holm = 1;
};

struct MetricSummary {
  MetricName metric;
  std::array<Distribution, kSources> sources;
  std::array<std::optional<BaselineTest>, kSources> tests;  ///< of the two baselines
};

struct ImageEvaluation {
  std::vector<CaseResult> cases;
  std::vector<MetricSummary> metrics;
  torch::Tensor mean_volume;  ///< clipped HU (D, H, W); undefined without training volumes
  int64_t training_volumes = 0;
};

struct ArmResult {
  std::string name, title, file;
  std::vector<std::string> studies, patients;
  std::vector<int> labels;
  std::vector<double> scores;
  int64_t positives = 0;
  double threshold = 0;
  std::string threshold_source;
  Confusion confusion;
  std::optional<AucEstimate> auc;  ///< absent for one class only
  std::optional<BootstrapAuc> bootstrap;
  std::optional<double> average_precision, brier;
  std::vector<std::string> notes;
};

struct ArmComparison {
  std::string first, second;
  int64_t common = 0;  ///< studies that both arms scored, with the same label
  std::optional<AucComparison> delong;
  std::optional<KolmogorovSmirnovResult> ks;
  double delong_p_holm = 1, ks_p_holm = 1;
};

struct ScoreEvaluation {
  std::vector<ArmResult> arms;
  std::vector<ArmComparison> comparisons;
};

/// A row of the published table; numbers as printed there.
struct PublishedArm {
  const char *name, *title, *auc, *accuracy, *specificity, *sensitivity, *ppv, *npv;
};
extern const std::array<PublishedArm, 3> kPublishedArms;

struct Evaluation {
  EvaluationInputs inputs;
  EvaluateOptions options;
  int64_t seed = 0;
  ImageEvaluation images;
  ScoreEvaluation scores;
  std::vector<std::pair<std::string, std::string>> provenance;  ///< name, value
  std::vector<Problem> problems;                                ///< of inputs, images and scores
};

}  // namespace x2ctpa
