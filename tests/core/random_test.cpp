#include "x2ctpa/core/random.h"

#include <gtest/gtest.h>

namespace x2ctpa {
namespace {

TEST(Random, TheNoiseOfACaseDependsOnSeedCaseAndSampleAlone) {
  const auto a = case_noise(1, "P0001", 0, {2, 5, 7});
  case_noise(1, "P0002", 0, {100});
  EXPECT_TRUE(at::equal(a, case_noise(1, "P0001", 0, {2, 5, 7})));
  EXPECT_FALSE(at::equal(a, case_noise(2, "P0001", 0, {2, 5, 7})));
  EXPECT_FALSE(at::equal(a, case_noise(1, "P0002", 0, {2, 5, 7})));
  EXPECT_FALSE(at::equal(a, case_noise(1, "P0001", 1, {2, 5, 7})));
}

TEST(Random, NeighbouringSeedsGiveUncorrelatedNoise) {
  const auto a = case_noise(0, "x", 0, {10000}), b = case_noise(1, "x", 0, {10000});
  EXPECT_LT(std::abs((a * b).mean().item<double>()), 0.05);
}

}  // namespace
}  // namespace x2ctpa
