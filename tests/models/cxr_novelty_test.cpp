#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/models/cxr_novelty.h"

namespace x2ctpa {
namespace {

at::Tensor drawn(const std::string& name, at::IntArrayRef shape) {
  return case_noise(7, name, 0, shape).to(at::kDouble);
}

TEST(CxrNovelty, DistanceIsMahalanobisForManyCases) {
  // Independent axes of deviation 1, 2 and 4: with 20,000 cases next to nothing is shrunk.
  const auto scale = at::tensor({1.0, 2.0, 4.0}, at::kDouble);
  const auto part = fit_novelty(drawn("many", {20000, 3}) * scale + 5);
  const auto x =
      at::tensor({6.0, 5.0, 5.0, 5.0, 7.0, 5.0, 6.0, 7.0, 9.0}, at::kDouble).view({3, 3});
  const auto distance = part.distance(x);
  EXPECT_NEAR(distance[0].item<double>(), 1, 0.05);
  EXPECT_NEAR(distance[1].item<double>(), 1, 0.05);
  EXPECT_NEAR(distance[2].item<double>(), std::sqrt(3.0), 0.08);
}

TEST(CxrNovelty, AboutOneInTwoHundredOfTheSameKindIsAboveTheLimit) {
  const auto part = fit_novelty(drawn("train", {2000, 20}));
  const double share =
      (part.distance(drawn("new", {20000, 20})) > part.limit).to(at::kDouble).mean().item<double>();
  EXPECT_GT(share, 0.001);
  EXPECT_LT(share, 0.015);
}

TEST(CxrNovelty, FewCasesInManyDimensionsStillGiveALimitForNewOnes) {
  // 40 cases in 144 dimensions: without shrinkage the covariance has no inverse, and a limit from
  // the fitted cases themselves would flag every new one.
  const auto mixing = drawn("mixing", {144, 144}) / 12;
  const auto part = fit_novelty(drawn("few", {40, 144}).mm(mixing));
  const auto same = part.distance(drawn("held out", {200, 144}).mm(mixing));
  EXPECT_LT((same > part.limit).to(at::kDouble).mean().item<double>(), 0.15);
  const auto shifted = part.distance(drawn("held out", {200, 144}).mm(mixing) + 3);
  EXPECT_GT((shifted > part.limit).to(at::kDouble).mean().item<double>(), 0.99);
  EXPECT_THROW(fit_novelty(drawn("one", {1, 4})), Error);
}

at::Tensor discs(int64_t n, const std::string& name) {
  std::vector<at::Tensor> pictures;
  const auto axis = at::linspace(-1, 1, 48);
  for (int64_t i = 0; i < n; ++i) {
    const auto z = case_noise(9, name, i, {4});
    const auto r2 =
        (axis - 0.1 * z[0]).square().unsqueeze(0) + (axis - 0.1 * z[1]).square().unsqueeze(1);
    pictures.push_back((r2 < 0.4 + 0.05 * z[2]).to(at::kFloat) * 0.6 +
                       0.05 * case_noise(9, name + "/noise", i, {48, 48}) + 0.2);
  }
  return at::stack(pictures).unsqueeze(1).clamp(0, 1);
}

TEST(CxrNovelty, TellsOtherPicturesFromTheTrainingSetAfterALoadAndWhateverTheExposure) {
  const auto pictures = discs(60, "train");
  const CxrNovelty made(CxrNovelty::thumbnails(pictures), drawn("embeddings", {60, 8}));
  const test::TemporaryFolder folder;
  made.save(folder.path());
  const auto novelty = CxrNovelty::load(folder.path());
  ASSERT_TRUE(novelty.has_value());
  const auto usual = at::zeros({8}, at::kDouble);
  int flagged = 0;
  const auto fresh = discs(20, "fresh");
  for (int64_t i = 0; i < 20; ++i) flagged += novelty->measure(fresh[i], usual).unlike_training();
  EXPECT_LE(flagged, 2);
  EXPECT_FALSE(novelty->measure(fresh[0] * 0.5, usual).unlike_training()) << "half the exposure";
  EXPECT_TRUE(novelty->measure(1 - fresh[0], usual).unlike_training()) << "inverted";
  EXPECT_TRUE(novelty->measure(at::rand({1, 48, 48}), usual).unlike_training()) << "no disc";
  EXPECT_TRUE(novelty->measure(fresh[0], at::full({8}, 9.0, at::kDouble)).unlike_training())
      << "another embedding";
  EXPECT_NEAR(novelty->measure(fresh[1], usual).picture, made.measure(fresh[1], usual).picture,
              1e-9);
}

TEST(CxrNovelty, AModelFolderWithoutItHasNoneAndADamagedOneIsRefused) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(CxrNovelty::load(folder.path()).has_value());
  write_safetensors(folder / "cxr_novelty.safetensors", {{"picture.mean", at::zeros({3})}});
  EXPECT_THROW(CxrNovelty::load(folder.path()), Error);
}

}  // namespace
}  // namespace x2ctpa
