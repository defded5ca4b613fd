#include "x2ctpa/metrics/calibration.h"
#include "metrics/ten_cases.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

using test::case_labels;
using test::case_scores;

TEST(Calibration, SumsItsPartsToTheBrierScore) {
  const Calibration c = calibration_of(case_labels, case_scores);
  EXPECT_NEAR(c.brier, brier_score(case_labels, case_scores), 1e-15);
  EXPECT_NEAR(c.brier, c.reliability - c.resolution + c.uncertainty + c.within_bins, 1e-15);
  EXPECT_DOUBLE_EQ(c.uncertainty, 0.25);
  // Each distinct score but 0.35 has a bin of its own, so nothing is left inside bins.
  EXPECT_NEAR(c.within_bins, 0, 1e-12);
}

TEST(Calibration, ErrorIsTheWeightedGapOfItsBins) {
  // Bins: .1 .1 -> 0 of 2; .2 -> 0 of 1; .35 -> 1 of 1; .4 .4 .4 -> 2 of 3; .8 .8 -> 1 of 2; .9
  // -> 1.
  const double gaps = 2 * 0.1 + 0.2 + 0.65 + 3 * (2.0 / 3 - 0.4) + 2 * 0.3 + 0.1;
  EXPECT_NEAR(calibration_of(case_labels, case_scores).expected_error, gaps / 10, 1e-12);
}

TEST(Calibration, FindsTheSlopeByWhichScoresAreTooExtreme) {
  std::mt19937_64 engine(3);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  std::vector<int> labels;
  std::vector<double> scores;
  for (int i = 0; i < 20000; ++i) {
    const double logit = normal(engine);
    labels.push_back(uniform(engine) < 1 / (1 + std::exp(-(0.5 + logit))));
    scores.push_back(1 / (1 + std::exp(-2 * logit)));
  }
  const Recalibration r = calibration_of(labels, scores).recalibration.value();
  EXPECT_NEAR(r.slope, 0.5, 3 * r.slope_error);
  EXPECT_NEAR(r.intercept, 0.5, 3 * r.intercept_error);
  EXPECT_LT(r.slope_error, 0.02);
}

TEST(Calibration, HasNoRecalibrationForSeparatedClassesOneClassAndConstantScores) {
  EXPECT_FALSE(calibration_of(std::vector{0, 0, 1, 1}, std::vector{.1, .2, .8, .9}).recalibration);
  EXPECT_FALSE(calibration_of(std::vector{1, 1}, std::vector{.1, .9}).recalibration);
  EXPECT_FALSE(calibration_of(std::vector{0, 1, 0}, std::vector{.5, .5, .5}).recalibration);
  EXPECT_THROW(calibration_of(std::vector{0, 1}, std::vector{.5, 1.5}), Error);
}

TEST(NetBenefit, OfTreatingAllAndOfAPerfectScoreAreTheirClosedForms) {
  const std::vector<int> labels{1, 0, 0, 0};
  for (const NetBenefit& point : net_benefit_curve(labels, std::vector{1.0, 0.0, 0.0, 0.0})) {
    EXPECT_DOUBLE_EQ(point.model, 0.25);
    EXPECT_NEAR(point.treat_all, 0.25 - 0.75 * point.threshold / (1 - point.threshold), 1e-12);
  }
}

TEST(Thresholds, ForASensitivityAreTheLargestThatReachIt) {
  EXPECT_DOUBLE_EQ(threshold_for_sensitivity(case_labels, case_scores, 0.2), 0.9);
  EXPECT_DOUBLE_EQ(threshold_for_sensitivity(case_labels, case_scores, 0.8), 0.4);
  EXPECT_DOUBLE_EQ(threshold_for_sensitivity(case_labels, case_scores, 0.81), 0.35);
  EXPECT_THROW(threshold_for_sensitivity(case_labels, case_scores, 0), Error);
}

TEST(Power, IsEightyPercentAtTheDetectableDifference) {
  std::mt19937_64 engine(1);
  std::normal_distribution<double> normal(detectable_difference(1), 1);
  int found = 0;
  for (int i = 0; i < 4000; ++i) found += std::abs(normal(engine)) > 1.959964;
  EXPECT_NEAR(found / 4000.0, 0.8, 0.02);
}

}  // namespace
}  // namespace x2ctpa
