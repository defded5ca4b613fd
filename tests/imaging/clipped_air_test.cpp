#include "x2ctpa/imaging/clipped_air.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace x2ctpa {
namespace {

at::Tensor filled(const at::Tensor& hu, ClippedAir rule) {
  return with_clipped_air(hu, -200, 500, rule);
}

TEST(ClippedAir, AStepMakesLungOfTheWholeLowestTenthAndOfNothingElse) {
  const auto hu = at::tensor({-200.0, -150.0, -131.0, -129.0, 0.0, 500.0}, at::kFloat);
  const auto expected = at::tensor({-850.0, -850.0, -850.0, -129.0, 0.0, 500.0}, at::kFloat);
  EXPECT_TRUE(filled(hu, ClippedAir::step).equal(expected));
}

TEST(ClippedAir, ARampRunsFromLungToTheValueItself) {
  const auto hu = at::tensor({-200.0, -165.0, -130.0, 0.0, 500.0}, at::kDouble);
  const auto expected = at::tensor({-850.0, -507.5, -130.0, 0.0, 500.0}, at::kDouble);
  EXPECT_TRUE(filled(hu, ClippedAir::ramp).allclose(expected, 0, 1e-9));
}

TEST(ClippedAir, AVolumeThatStillHoldsAirIsChangedByTheRampAlone) {
  const auto hu = at::tensor({-1000.0, -200.0, -100.0}, at::kFloat);
  EXPECT_TRUE(filled(hu, ClippedAir::step).equal(hu));
  const auto expected = at::tensor({-850.0, -850.0, -100.0}, at::kFloat);
  EXPECT_TRUE(filled(hu, ClippedAir::ramp).allclose(expected));
}

}  // namespace
}  // namespace x2ctpa
