#include "x2ctpa/metrics/structure.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor ramp() { return at::arange(10, at::kFloat).view({1, 1, 10}).expand({4, 5, 10}); }

TEST(GradientQuality, OfARampIsItsSlopeInHuPerMillimetre) {
  const GradientQuality q = gradient_quality(30 * ramp(), 15 * ramp(), {1, 1, 2});
  EXPECT_NEAR(q.mae, 15.0 / 2, 1e-6);
  EXPECT_NEAR(q.sharpness, 0.5, 1e-6);
}

TEST(GradientQuality, OfABlurredEdgeIsLessSharp) {
  torch::manual_seed(1);
  const auto truth = at::randn({12, 12, 12}) * 100;
  const auto blurred = at::avg_pool3d(truth.view({1, 1, 12, 12, 12}), 3, 1, 1)[0][0];
  EXPECT_LT(gradient_quality(truth, blurred, {1, 1, 1}).sharpness, 0.5);
  EXPECT_EQ(gradient_quality(truth, truth, {1, 1, 1}).sharpness, 1);
  EXPECT_THROW(gradient_quality(truth, blurred.slice(0, 0, 1), {1, 1, 1}), Error);
}

TEST(Dice, IsTwiceTheOverlapOverTheSum) {
  const auto a = at::tensor({1, 1, 1, 0, 0}), b = at::tensor({0, 0, 1, 1, 0});
  EXPECT_DOUBLE_EQ(dice(a, b), 2.0 / 5);
  EXPECT_EQ(dice(a, a), 1);
  EXPECT_TRUE(std::isnan(dice(a * 0, b * 0)));
  EXPECT_THROW(dice(a, b.slice(0, 1)), Error);
}

}  // namespace
}  // namespace x2ctpa
