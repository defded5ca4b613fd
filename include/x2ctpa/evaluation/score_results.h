// What `evaluate` finds in tables of PE scores. docs/metrics.md states the protocol of each number.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/metrics/calibration.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa {

/// A share of fewer studies says nothing and is not told.
inline constexpr int64_t fewest_studies = 5;

/// Shares at the threshold, in the order of tables.
namespace decision {
enum Index : int { accuracy, specificity, sensitivity, ppv, npv, count };
}
inline constexpr std::array<const char*, decision::count> decision_keys{
    "accuracy", "specificity", "sensitivity", "ppv", "npv"};

/// Where an arm's threshold comes from: its table's own column, Youden's index on its validation
/// rows, or evaluate.threshold.
enum class ThresholdOrigin { table, validation, option };

struct ArmResult {
  std::string name, title, file;
  std::string split;  ///< whose rows count; empty: the table has no splits
  std::vector<std::string> studies, patients;
  std::vector<int> labels;
  std::vector<double> scores;
  int64_t positives = 0;
  double threshold = 0;
  ThresholdOrigin threshold_origin = ThresholdOrigin::option;
  std::string threshold_source;
  Confusion confusion;
  std::array<Proportion, decision::count> decisions;  ///< NaN for fewer than fewest_studies
  std::optional<AucEstimate> auc;                     ///< absent for one class only
  std::optional<BootstrapAuc> bootstrap;
  std::optional<double> average_precision;
  std::optional<Calibration> calibration;  ///< absent when scores are no probabilities
  std::vector<NetBenefit> net_benefit;
  std::vector<std::string> notes;
};

struct ArmComparison {
  std::string first, second;
  int64_t common = 0;  ///< studies that both arms scored, with the same label
  std::optional<AucComparison> delong;
  std::optional<KolmogorovSmirnovResult> ks;  ///< absent for fewer than fewest_studies
  double delong_p_holm = 1, ks_p_holm = 1;
  /// In AUC, found in 80% of such sets at p 0.05; not a number where that cannot be told.
  double detectable_difference = std::numeric_limits<double>::quiet_NaN();
};

struct ScoreEvaluation {
  std::vector<ArmResult> arms;
  std::vector<ArmComparison> comparisons;
};

/// A row of the published table; numbers as printed there, proportions in percent, empty where none
/// are printed.
struct PublishedArm {
  const char *name, *title, *source;
  const char *auc, *auc_low, *auc_high;
  std::array<const char*, decision::count> decisions;

  std::string auc_text() const;  ///< "0.827 [0.75-0.92]"
};
extern const std::array<PublishedArm, 4> published_arms;

}  // namespace x2ctpa
