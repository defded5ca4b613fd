#include <vector>

#include "x2ctpa/models/latent_scale.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

TEST(LatentScale, StandardGivesEachChannelMean0AndDeviation1) {
  torch::manual_seed(3);
  const auto latents =
      torch::randn({6, 2, 3, 4, 5}) * torch::tensor({2.f, 0.1f}).view({1, 2, 1, 1, 1}) + 7;
  LatentStatistics statistics;
  for (int64_t i = 0; i < 6; i += 2) statistics.add(latents.narrow(0, i, 2));
  const LatentScale scale = statistics.standard();
  const auto x = scale.standardise(latents).to(torch::kDouble).transpose(0, 1).flatten(1);
  EXPECT_LT(x.mean(1).abs().max().item<double>(), 1e-5);
  EXPECT_LT((x.std(1, false) - 1).abs().max().item<double>(), 1e-5);
  EXPECT_LT(relative_error(scale.restore(scale.standardise(latents)), latents), 1e-6);
  EXPECT_EQ(scale.size, (std::vector<int64_t>{3, 4, 5}));
}

TEST(LatentScale, RangeTakesTheSmallestAndLargestValueOfAllChannelsToPlusAndMinusOne) {
  torch::manual_seed(4);
  const auto latents = torch::randn({3, 4, 2, 2, 2}) * 3 + 1;
  LatentStatistics statistics;
  statistics.add(latents);
  const auto x = statistics.range().standardise(latents);
  EXPECT_NEAR(x.min().item<double>(), -1, 1e-6);
  EXPECT_NEAR(x.max().item<double>(), 1, 1e-6);
  // One map for all channels, so that order between them stays.
  const auto low = latents.min(), high = latents.max();
  EXPECT_LT(relative_error(x, (latents - low) / (high - low) * 2 - 1), 1e-6);
}

TEST(LatentScale, RefusesAConstantChannelAndLatentsOfTwoShapes) {
  LatentStatistics constant;
  constant.add(torch::full({2, 1, 2, 2, 2}, 0.3));
  expect_error([&] { constant.standard(); }, "collapsed");
  LatentStatistics mixed;
  mixed.add(torch::randn({1, 1, 2, 2, 2}));
  expect_error([&] { mixed.add(torch::randn({1, 1, 2, 2, 4})); }, "differ in shape");
  expect_error([] { LatentStatistics().range(); }, "no latents");
}

}  // namespace
}  // namespace x2ctpa
