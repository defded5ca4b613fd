// How well scores separate two classes, with 95% intervals.
//
// AUC: Mann-Whitney. Its variance: DeLong et al. 1988 (doi:10.2307/2531595) by the fast algorithm
// of Sun and Xu 2014 (doi:10.1109/LSP.2014.2337313). Proportions: Wilson 1927.
//
// Everywhere `labels` are 0 or 1 and `scores` finite, one per case, larger meaning more likely 1.
// Throws Error for unequal lengths, other labels, scores that are not finite, no cases, and, where
// both classes are needed, for one class only.
//
// The statistics here, in calibration.h, rater_agreement.h and statistical_tests.h are own code:
// SciPy, scikit-learn and R have them, but the program is to run without Python or R, and
// Boost.Math holds distributions without these tests and intervals. Tests compare with
// scikit-learn's, SciPy's and statsmodels' numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace x2ctpa {

struct Interval {
  double low = 0, high = 0;
};

/// Area under the ROC curve; a tie of a positive and a negative case counts one half.
double roc_auc(std::span<const int> labels, std::span<const double> scores);

struct AucEstimate {
  double auc = 0;
  double standard_error = 0;  ///< DeLong
  /// 95% interval, symmetric on the logit scale (Qin and Hotilovac 2008), so within (0, 1).
  /// Absent when DeLong's variance is 0 or not defined: classes apart, constant scores, or a
  /// class of one case.
  std::optional<Interval> interval;
};
AucEstimate delong_auc(std::span<const int> labels, std::span<const double> scores);

struct AucComparison {
  double auc_a = 0, auc_b = 0;
  double standard_error = 0;  ///< of auc_a - auc_b, for the same cases
  Interval interval;          ///< 95% of auc_a - auc_b, plain normal
  double z = 0;
  double p = 1;  ///< two-sided; NaN when the variance is 0 and the areas differ
};
/// DeLong's test of two scores of the same cases.
AucComparison delong_paired(std::span<const int> labels, std::span<const double> scores_a,
                            std::span<const double> scores_b);

/// Of the sensitivity at one false positive rate.
struct RocBandPoint {
  double false_positive_rate = 0;
  Interval sensitivity;
};

struct BootstrapAuc {
  Interval interval;      ///< 2.5% and 97.5% percentiles, linear between order statistics
  int64_t resamples = 0;  ///< that held both classes
  int64_t patients = 0;
  double standard_deviation = 0;   ///< of the areas, divisor resamples - 1; NaN for one
  std::vector<RocBandPoint> band;  ///< pointwise, at false positive rates 0, 0.02, ... 1
};
/// Percentile bootstrap of the AUC and of the ROC curve. Whole patients are drawn with replacement,
/// separately among those with and without a positive case (`patients` names the patient of each
/// case), from the random stream "bootstrap" of `seed`.
BootstrapAuc bootstrap_auc(std::span<const int> labels, std::span<const double> scores,
                           std::span<const std::string> patients, int64_t resamples, int64_t seed);

/// A point of the ROC curve: the rates when scores >= `threshold` are called positive.
struct RocPoint {
  double false_positive_rate = 0, true_positive_rate = 0, threshold = 0;
};
/// From (0, 0) at an infinite threshold to (1, 1), one point per distinct score.
std::vector<RocPoint> roc_curve(std::span<const int> labels, std::span<const double> scores);

/// The score that maximises sensitivity + specificity - 1 (Youden 1950); the largest of several.
double youden_threshold(std::span<const int> labels, std::span<const double> scores);

/// The largest score at which at least `sensitivity` (above 0, at most 1) of the positive cases are
/// called positive.
double threshold_for_sensitivity(std::span<const int> labels, std::span<const double> scores,
                                 double sensitivity);

/// The difference of two areas that a two-sided 5% test would find in 80% of such sets, from the
/// standard error of their difference: (1.96 + 0.84) x standard error.
double detectable_difference(double standard_error);

/// Sum of precision x increase of recall over falling thresholds; ties enter together.
double average_precision(std::span<const int> labels, std::span<const double> scores);

/// Mean of (score - label)^2. Throws Error when a score is not within [0, 1].
double brier_score(std::span<const int> labels, std::span<const double> scores);

/// successes / total with its 95% Wilson score interval. NaN for a total of 0.
struct Proportion {
  int64_t successes = 0, total = 0;
  double value = 0;
  Interval interval;
};
Proportion wilson_proportion(int64_t successes, int64_t total);

/// Counts of a decision, score >= threshold meaning positive.
struct Confusion {
  int64_t true_positive = 0, true_negative = 0, false_positive = 0, false_negative = 0;

  Proportion accuracy() const;
  Proportion sensitivity() const;
  Proportion specificity() const;
  Proportion positive_predictive_value() const;
  Proportion negative_predictive_value() const;
};
/// One class alone is allowed here.
Confusion confusion_at(std::span<const int> labels, std::span<const double> scores,
                       double threshold);

}  // namespace x2ctpa
