// Whether scores mean what they say as probabilities, and whether acting on them pays.
//
// Everywhere `labels` are 0 or 1 and `scores` lie within [0, 1], one per case. Throws Error as
// classification.h does, and for a score outside [0, 1].
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "x2ctpa/metrics/classification.h"

namespace x2ctpa {

/// The cases whose score lies in [low, high); the last bin holds 1 too.
struct ReliabilityBin {
  double low = 0, high = 0;
  int64_t cases = 0;
  double mean_score = 0;  ///< 0 for an empty bin, as `observed`'s value
  Proportion observed;    ///< the share of positive cases, with its Wilson interval
};

/// log(p / (1 - p)) = intercept + slope * logit(score), by maximum likelihood (Cox, Biometrika 45
/// (1958) 562). Slope 1 and intercept 0 are perfect; a slope below 1 means scores too extreme.
struct Recalibration {
  double slope = 1, slope_error = 0, intercept = 0, intercept_error = 0;  ///< standard errors
  double in_the_large = 0;  ///< the intercept with the slope held at 1
};

struct Calibration {
  std::vector<ReliabilityBin> bins;
  double expected_error = 0;  ///< ECE: mean |mean score - observed share| of bins, by their cases
  /// Brier score = reliability - resolution + uncertainty + within_bins (Murphy, J. Appl.
  /// Meteorol. 12 (1973) 595; the last is the scores' spread inside bins, which Murphy had not).
  double brier = 0, reliability = 0, resolution = 0, uncertainty = 0, within_bins = 0;
  /// Absent for one class only, constant scores, and classes that some score separates.
  std::optional<Recalibration> recalibration;
};

/// Over `bins` bins of equal width. Scores of 0 and 1 count as 1e-7 and 1 - 1e-7 in the logit.
Calibration calibration_of(std::span<const int> labels, std::span<const double> scores,
                           int64_t bins = 10);

/// Net benefit of treating who scores at least `threshold`: true positives less false positives
/// weighted by the odds of the threshold, per case (Vickers and Elkin, Med. Decis. Making 26 (2006)
/// 565). Treating nobody has 0.
struct NetBenefit {
  double threshold = 0, model = 0, treat_all = 0;
};

/// At the thresholds 0.01, 0.02, ... 0.99.
std::vector<NetBenefit> net_benefit_curve(std::span<const int> labels,
                                          std::span<const double> scores);

}  // namespace x2ctpa
