// Expected numbers: scipy 1.17.1 (wilcoxon, ks_2samp), statsmodels 0.14 (multipletests).
#include "x2ctpa/metrics/statistical_tests.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

std::vector<double> sine(int n) {
  std::vector<double> v;
  for (int i = 0; i < n; ++i) v.push_back(std::sin(i * 1.7) * 10 + 0.6);
  return v;
}
std::vector<double> cosine(int n) {
  std::vector<double> v;
  for (int i = 0; i < n; ++i) v.push_back(std::cos(i * 0.9) * 8);
  return v;
}
const std::vector<double> tied_a{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9};
const std::vector<double> tied_b{2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4};

// wilcoxon(x, y): Hollander and Wolfe's depression scale data.
TEST(Wilcoxon, IsExactForFewPairsWithoutTies) {
  const std::vector<double> x{1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
  const std::vector<double> y{0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};
  const WilcoxonResult r = wilcoxon_signed_rank(x, y);
  EXPECT_TRUE(r.exact);
  EXPECT_EQ(r.statistic, 5);
  EXPECT_NEAR(r.p, 0.0390625, 1e-12);
  EXPECT_NEAR(r.median_difference, 0.49, 1e-12);
}

TEST(Wilcoxon, IsExactUpTo50PairsAndNormalAbove) {
  const WilcoxonResult fifty = wilcoxon_signed_rank(sine(50), cosine(50));
  EXPECT_TRUE(fifty.exact);
  EXPECT_EQ(fifty.statistic, 587);
  EXPECT_NEAR(fifty.p, 0.6321732707310517, 1e-10);
  const WilcoxonResult sixty = wilcoxon_signed_rank(sine(60), cosine(60));
  EXPECT_FALSE(sixty.exact);
  EXPECT_EQ(sixty.statistic, 859);
  EXPECT_NEAR(sixty.p, 0.6801563624850688, 1e-10);
}

// wilcoxon(t, u, method="approx", zero_method="wilcox", correction=False)
TEST(Wilcoxon, WithTiesAndZerosIsTheCorrectedNormalApproximation) {
  const WilcoxonResult r = wilcoxon_signed_rank(tied_a, tied_b);
  EXPECT_FALSE(r.exact);
  EXPECT_EQ(r.zeros, 1);
  EXPECT_EQ(r.statistic, 41);
  EXPECT_NEAR(r.p, 0.4679162843737157, 1e-12);
}

TEST(Wilcoxon, OfEqualPairsFindsNoDifferenceAndTakesInfinities) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(wilcoxon_signed_rank(tied_a, tied_a).p, 1);
  EXPECT_EQ(wilcoxon_signed_rank(std::vector{inf, 2.}, std::vector{inf, 1.}).zeros, 1);
  EXPECT_THROW(wilcoxon_signed_rank(std::vector{1.}, std::vector{1., 2.}), Error);
  EXPECT_THROW(wilcoxon_signed_rank(std::vector<double>{NAN}, std::vector{1.}), Error);
}

// ks_2samp(a, b, method="exact")
TEST(KolmogorovSmirnov, AgreesWithScipysExactMethod) {
  const auto r = kolmogorov_smirnov(sine(25), cosine(40));
  EXPECT_NEAR(r.statistic, 0.28, 1e-12);
  EXPECT_NEAR(r.p, 0.14751291752686244, 1e-10);
  const auto tied = kolmogorov_smirnov(tied_a, tied_b);
  EXPECT_NEAR(tied.statistic, 0.2, 1e-12);
  EXPECT_NEAR(tied.p, 0.9383310279844598, 1e-10);
}

TEST(KolmogorovSmirnov, KeepsTheDigitsOfSmallPValues) {
  std::vector<double> a, b;
  for (int i = 0; i < 30; ++i) {
    a.push_back(i);
    b.push_back(i + 25.5);
  }
  const auto r = kolmogorov_smirnov(a, b);
  EXPECT_NEAR(r.p / 8.246509538996e-12, 1, 1e-8);
}

TEST(KolmogorovSmirnov, OfLargeSamplesTakesTheLimitDistribution) {
  std::vector<double> a, b;
  for (int i = 0; i < 20000; ++i) {
    a.push_back(i);
    b.push_back(i + 239.5);  // distance 240 / 20000, sqrt(n / 2) times that is 1.2
  }
  const auto r = kolmogorov_smirnov(a, b);
  EXPECT_FALSE(r.exact);
  EXPECT_NEAR(r.p, 0.11224966667072497, 1e-9);
}

TEST(Holm, AgreesWithStatsmodelsAndPassesNanOn) {
  const std::vector<double> p{0.01, 0.04, 0.03, 0.005, 0.5};
  const std::vector<double> expected{0.04, 0.09, 0.09, 0.025, 0.5};
  const auto adjusted = holm_adjusted(p);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-15);
  const auto with_nan = holm_adjusted(std::vector<double>{0.02, NAN, 0.03});
  EXPECT_NEAR(with_nan[0], 0.04, 1e-15);
  EXPECT_TRUE(std::isnan(with_nan[1]));
}

TEST(Median, OfAnEvenNumberIsTheMiddleOfTwo) {
  EXPECT_EQ(median(std::vector{4., 1., 3., 2.}), 2.5);
  EXPECT_EQ(median(std::vector{3., 1., 2.}), 2);
  EXPECT_TRUE(std::isnan(median(std::vector<double>{})));
}

}  // namespace
}  // namespace x2ctpa
