#include "x2ctpa/metrics/feature_distances.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor draw(int64_t seed, int64_t n, int64_t width) {
  torch::manual_seed(seed);
  return at::randn({n, width}, at::kDouble);
}

FeatureMoments moments(const at::Tensor& rows) {
  FeatureMoments result;
  result.add(rows);
  return result;
}

TEST(FeatureMoments, OfBatchesAreThoseOfAllRows) {
  const auto rows = draw(1, 37, 5) * 3 + 100;
  FeatureMoments batches;
  batches.add(rows.slice(0, 0, 1));
  batches.add(rows.slice(0, 1, 20));
  batches.add(rows.slice(0, 20, 37));
  EXPECT_EQ(batches.count(), 37);
  EXPECT_TRUE(at::allclose(batches.mean(), rows.mean(0), 1e-12));
  EXPECT_TRUE(at::allclose(batches.covariance(), at::cov(rows.t()), 1e-9, 1e-9));
}

TEST(FrechetDistance, OfASetWithItselfIsNoneAndOfAShiftItsSquare) {
  const auto rows = draw(2, 60, 6);
  EXPECT_NEAR(frechet_distance(moments(rows), moments(rows)), 0, 1e-9);
  EXPECT_NEAR(frechet_distance(moments(rows), moments(rows + 2)), 4 * 6, 1e-8);
}

TEST(FrechetDistance, OfScaledRowsIsItsClosedForm) {
  // The covariances C and 4 C commute: tr(C + 4 C - 2 * 2 C) = tr C.
  const auto rows = draw(3, 50, 4), centred = rows - rows.mean(0);
  EXPECT_NEAR(frechet_distance(moments(centred), moments(2 * centred)),
              at::cov(rows.t()).trace().item<double>(), 1e-9);
}

TEST(FrechetDistance, OfFewerRowsThanFeaturesIsFinite) {
  const double d = frechet_distance(moments(draw(4, 5, 20)), moments(draw(5, 7, 20)));
  EXPECT_TRUE(std::isfinite(d));
  EXPECT_GT(d, 0);
}

TEST(KernelDistance, IsAboutNothingForOneDistributionAndGrowsWithAShift) {
  const auto a = draw(6, 300, 8), b = draw(7, 300, 8);
  EXPECT_NEAR(kernel_distance(a, b), 0, 0.05);
  EXPECT_GT(kernel_distance(a, b + 1), 0.5);
}

TEST(NeighbourMeasures, AreOneForOneDistributionAndNoneForAnother) {
  const auto a = draw(8, 200, 3), b = draw(9, 200, 3);
  const NeighbourMeasures same = neighbour_measures(a, b);
  EXPECT_GT(same.precision, 0.85);
  EXPECT_GT(same.recall, 0.85);
  EXPECT_NEAR(same.density, 1, 0.15);
  EXPECT_GT(same.coverage, 0.85);
  const NeighbourMeasures apart = neighbour_measures(a, b + 100);
  EXPECT_EQ(apart.precision + apart.recall + apart.density + apart.coverage, 0);
  const NeighbourMeasures collapsed = neighbour_measures(a, 0.01 * b);
  EXPECT_GT(collapsed.precision, 0.95);
  EXPECT_LT(collapsed.recall, 0.2) << "precision alone does not see that one mode was left";
  EXPECT_LT(collapsed.coverage, 0.2);
}

TEST(FeatureDistances, RefuseSmallSetsOtherWidthsAndNan) {
  EXPECT_THROW(frechet_distance(moments(draw(1, 1, 3)), moments(draw(1, 5, 3))), Error);
  EXPECT_THROW(frechet_distance(moments(draw(1, 5, 4)), moments(draw(1, 5, 3))), Error);
  EXPECT_THROW(kernel_distance(draw(1, 5, 4), draw(1, 5, 3)), Error);
  EXPECT_THROW(neighbour_measures(draw(1, 5, 4), draw(1, 9, 4), 5), Error);
  EXPECT_THROW(kernel_distance(draw(1, 5, 4) / 0.0, draw(1, 5, 4)), Error);
}

}  // namespace
}  // namespace x2ctpa
