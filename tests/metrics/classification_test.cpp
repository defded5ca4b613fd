#include "x2ctpa/metrics/classification.h"
#include "metrics/ten_cases.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

using test::case_labels;
using test::case_scores;

std::vector<std::string> own_patients(size_t n) {
  std::vector<std::string> patients;
  for (size_t i = 0; i < n; ++i) patients.push_back("p" + std::to_string(i));
  return patients;
}

// Two normal classes; `shift` 0 is chance.
void draw_scores(uint64_t seed, int n, double shift, std::vector<int>& labels,
                 std::vector<double>& scores) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  labels.clear();
  scores.clear();
  for (int i = 0; i < n; ++i) {
    labels.push_back(i % 3 == 0);
    scores.push_back(normal(engine) + shift * labels.back());
  }
}

// scikit-learn 1.9.1: roc_auc_score and average_precision_score of the same ten cases.
TEST(Auc, CountsTiesAsOneHalf) {
  EXPECT_DOUBLE_EQ(roc_auc(case_labels, case_scores), 0.78);
  EXPECT_NEAR(average_precision(case_labels, case_scores), 0.7428571428571429, 1e-15);
}

TEST(Auc, IsTheShareOfPairsInTheRightOrder) {
  std::vector<int> labels;
  std::vector<double> scores;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    draw_scores(seed, 40, 0.7, labels, scores);
    for (auto& s : scores) s = std::round(s * 2);  // many ties
    double wins = 0, pairs = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      for (size_t j = 0; j < labels.size(); ++j) {
        if (labels[i] != 1 || labels[j] != 0) continue;
        pairs += 1;
        wins += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      }
    }
    EXPECT_NEAR(roc_auc(labels, scores), wins / pairs, 1e-14);
    EXPECT_NEAR(delong_auc(labels, scores).auc, wins / pairs, 1e-14);
  }
}

TEST(DeLong, HasNoIntervalWhenTheClassesAreApartOrTheScoresConstant) {
  EXPECT_FALSE(
      delong_auc(std::vector{0, 0, 1, 1}, std::vector{.1, .2, .8, .9}).interval.has_value());
  const AucEstimate constant = delong_auc(std::vector{0, 0, 1, 1}, std::vector{.5, .5, .5, .5});
  EXPECT_EQ(constant.auc, 0.5);
  EXPECT_EQ(constant.standard_error, 0);
  EXPECT_FALSE(constant.interval.has_value());
  EXPECT_FALSE(delong_auc(std::vector{0, 0, 1}, std::vector{.1, .5, .2}).interval.has_value());
}

TEST(DeLong, OfAScoreWithItselfFindsNoDifference) {
  const AucComparison same = delong_paired(case_labels, case_scores, case_scores);
  EXPECT_EQ(same.z, 0);
  EXPECT_EQ(same.p, 1);
  std::vector<double> opposite;
  for (double s : case_scores) opposite.push_back(-s);
  EXPECT_LT(delong_paired(case_labels, case_scores, opposite).p, 0.2);
}

TEST(DeLong, IntervalCoversChanceInAbout95PercentOfShuffledSets) {
  std::vector<int> labels;
  std::vector<double> scores;
  int covered = 0, bootstrap_covered = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    draw_scores(seed, 90, 0, labels, scores);
    const Interval i = delong_auc(labels, scores).interval.value();
    const Interval b = bootstrap_auc(labels, scores, own_patients(90), 500, int64_t(seed)).interval;
    covered += i.low <= 0.5 && 0.5 <= i.high;
    bootstrap_covered += b.low <= 0.5 && 0.5 <= b.high;
  }
  EXPECT_NEAR(covered, 190, 9);
  EXPECT_NEAR(bootstrap_covered, 190, 10);
}

TEST(DeLong, PairedPValueIsUniformForArmsOfEqualQuality) {
  std::vector<int> labels;
  std::vector<double> a, b;
  int below = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    draw_scores(seed, 120, 0.8, labels, a);
    draw_scores(seed + 1000, 120, 0.8, labels, b);
    below += delong_paired(labels, a, b).p < 0.25;
  }
  EXPECT_NEAR(below, 100, 30);
}

TEST(Bootstrap, IsRepeatedBySeedAndCloseToDeLong) {
  std::vector<int> labels;
  std::vector<double> scores;
  draw_scores(4, 150, 1, labels, scores);
  const auto patients = own_patients(150);
  const BootstrapAuc first = bootstrap_auc(labels, scores, patients, 2000, 7);
  const BootstrapAuc again = bootstrap_auc(labels, scores, patients, 2000, 7);
  const BootstrapAuc other = bootstrap_auc(labels, scores, patients, 2000, 8);
  EXPECT_EQ(first.interval.low, again.interval.low);
  EXPECT_NE(first.interval.low, other.interval.low);
  EXPECT_EQ(first.resamples, 2000);
  const Interval delong = delong_auc(labels, scores).interval.value();
  EXPECT_NEAR(first.interval.low, delong.low, 0.02);
  EXPECT_NEAR(first.interval.high, delong.high, 0.02);
}

TEST(Bootstrap, OfRepeatedCasesOfOnePatientIsAsWideAsWithoutTheCopies) {
  std::vector<int> labels, labels4;
  std::vector<double> scores, scores4;
  std::vector<std::string> patients4;
  draw_scores(5, 60, 1, labels, scores);
  const auto patients = own_patients(60);
  for (size_t i = 0; i < labels.size(); ++i) {
    for (int copy = 0; copy < 4; ++copy) {
      labels4.push_back(labels[i]);
      scores4.push_back(scores[i]);
      patients4.push_back(patients[i]);
    }
  }
  const Interval once = bootstrap_auc(labels, scores, patients, 2000, 1).interval;
  const BootstrapAuc four = bootstrap_auc(labels4, scores4, patients4, 2000, 1);
  EXPECT_EQ(four.patients, 60);
  EXPECT_NEAR(four.interval.low, once.low, 1e-12);
  EXPECT_NEAR(four.interval.high, once.high, 1e-12);
}

// statsmodels 0.14 proportion_confint(k, n, method="wilson").
TEST(Wilson, AgreesWithStatsmodels) {
  const Proportion p = wilson_proportion(16, 29);
  EXPECT_NEAR(p.interval.low, 0.37547963210970914, 1e-12);
  EXPECT_NEAR(p.interval.high, 0.7158683197696281, 1e-12);
  EXPECT_NEAR(wilson_proportion(0, 10).interval.high, 0.27753279986288926, 1e-12);
  EXPECT_EQ(wilson_proportion(0, 10).interval.low, 0);
  EXPECT_NEAR(wilson_proportion(10, 10).interval.low, 0.7224672001371106, 1e-12);
  EXPECT_TRUE(std::isnan(wilson_proportion(0, 0).value));
}

TEST(Confusion, CallsScoresAtTheThresholdPositive) {
  const Confusion c = confusion_at(case_labels, case_scores, 0.4);
  EXPECT_EQ(c.true_positive, 4);
  EXPECT_EQ(c.false_negative, 1);
  EXPECT_EQ(c.false_positive, 2);
  EXPECT_EQ(c.true_negative, 3);
  EXPECT_DOUBLE_EQ(c.accuracy().value, 0.7);
  EXPECT_DOUBLE_EQ(c.positive_predictive_value().value, 4.0 / 6);
  EXPECT_DOUBLE_EQ(c.negative_predictive_value().value, 3.0 / 4);
}

TEST(Youden, TakesTheLargestOfTheBestThresholds) {
  EXPECT_DOUBLE_EQ(youden_threshold(case_labels, case_scores), 0.35);
  EXPECT_DOUBLE_EQ(youden_threshold(std::vector{0, 1, 0, 1}, std::vector{.1, .2, .3, .4}), 0.4);
}

TEST(RocCurve, RunsFromNothingCalledToEverythingCalled) {
  const auto curve = roc_curve(case_labels, case_scores);
  EXPECT_EQ(curve.size(), 7u);  // six distinct scores
  EXPECT_EQ(curve.front().true_positive_rate, 0);
  EXPECT_EQ(curve.back().false_positive_rate, 1);
  double area = 0;
  for (size_t i = 1; i < curve.size(); ++i) {
    area += 0.5 * (curve[i].true_positive_rate + curve[i - 1].true_positive_rate) *
            (curve[i].false_positive_rate - curve[i - 1].false_positive_rate);
  }
  EXPECT_NEAR(area, roc_auc(case_labels, case_scores), 1e-12);
}

TEST(Classification, RefusesOneClassNanAndOtherLengths) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(roc_auc(std::vector{1, 1}, std::vector{.1, .2}), Error);
  EXPECT_THROW(roc_auc(std::vector{0, 1}, std::vector{.1, nan}), Error);
  EXPECT_THROW(roc_auc(std::vector{0, 1}, std::vector{.1}), Error);
  EXPECT_THROW(roc_auc(std::vector{0, 2}, std::vector{.1, .2}), Error);
  EXPECT_THROW(brier_score(std::vector{0, 1}, std::vector{.1, 1.2}), Error);
  EXPECT_THROW(roc_auc(std::vector<int>{}, std::vector<double>{}), Error);
  EXPECT_EQ(confusion_at(std::vector{1, 1}, std::vector{.1, .9}, 0.5).true_positive, 1);
}

}  // namespace
}  // namespace x2ctpa
