#include "x2ctpa/models/linear_mean.h"

#include <cmath>
#include <vector>

#include "models/helpers.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

// Cases whose latents follow from their X-rays by a linear map, and perhaps noise.
struct Cases {
  std::vector<at::Tensor> cxr, latents;

  Cases(int64_t count, double noise) {
    torch::manual_seed(11);
    const auto map = torch::randn({16, 2 * 2 * 3 * 3}) / 4;
    for (int64_t i = 0; i < count; ++i) {
      cxr.push_back(torch::rand({1, 4, 4}));
      const auto y = cxr.back().view({1, 16}).mm(map).view({2, 2, 3, 3}) + 0.3;
      latents.push_back(y + noise * torch::randn_like(y));
    }
  }
  LinearMeanFit fit(double ridge, int64_t without = -1, int64_t random_features = 0) const {
    std::vector<int64_t> kept;
    for (int64_t i = 0; i < int64_t(cxr.size()); ++i)
      if (i != without) kept.push_back(i);
    LinearMeanOptions options;
    options.side = 4;
    options.ridge = ridge;
    options.random_features = random_features;
    return LinearMeanFit::of(
        int64_t(kept.size()), options, [&](int64_t i) { return cxr[size_t(kept[size_t(i)])]; },
        [&](int64_t i) { return latents[size_t(kept[size_t(i)])]; }, random_stream(7, "test"));
  }
  // The mean variance of the components, in whose units the ridge is.
  double unit(int64_t without = -1) const {
    std::vector<at::Tensor> rows;
    for (int64_t i = 0; i < int64_t(cxr.size()); ++i)
      if (i != without) rows.push_back(cxr[size_t(i)].flatten().to(torch::kDouble));
    const auto x = torch::stack(rows);
    return std::get<1>(at::linalg_svd(x - x.mean(0), false)).square().mean().item<double>();
  }
};

TEST(LinearMean, FindsALinearMapFromEnoughCases) {
  const Cases cases(40, 0);
  const auto fit = cases.fit(1e-9);
  for (const size_t i : {0, 17})
    EXPECT_LT(relative_error(fit.mean->forward(cases.cxr[i].unsqueeze(0))[0], cases.latents[i]),
              1e-4);
  EXPECT_LT(fit.mean->rest_std().max().item<double>(), 1e-3);
}

TEST(LinearMean, LeavesACaseOutAsAFitWithoutItWould) {
  const Cases cases(30, 0.5);
  const double ridge = 0.2;
  const auto fit = cases.fit(ridge);
  for (const int64_t i : {0, 12}) {
    const auto cxr = cases.cxr[size_t(i)].unsqueeze(0);
    const auto left_out = fit.left_out(i, fit.mean->forward(cxr)[0], cases.latents[size_t(i)]);
    // The same ridge in absolute terms.
    const auto without = cases.fit(ridge * cases.unit() / cases.unit(i), i);
    EXPECT_LT(relative_error(left_out, without.mean->forward(cxr)[0]), 1e-4);
  }
}

TEST(LinearMean, ChoosesAStrongRidgeWhereTheXRayTellsNothing) {
  Cases cases(30, 0);
  torch::manual_seed(5);
  for (auto& latent : cases.latents) latent = torch::randn_like(latent);
  EXPECT_GE(cases.fit(0).mean->options().ridge, 10);
  EXPECT_LE(Cases(30, 0.01).fit(0).mean->options().ridge, 0.01);
}

TEST(LinearMean, TheRestHasTheDeviationOfACaseLeftOut) {
  const Cases cases(200, 0.5);
  const auto fit = cases.fit(0);
  // Noise of 0.5, and what 17 numbers found from 200 cases add.
  EXPECT_NEAR(fit.mean->rest_std().mean().item<double>(), 0.5 * std::sqrt(1 + 17.0 / 200), 0.02);
}

// A latent that grows with the square of a pixel, which no plane follows.
TEST(LinearMean, BendsWithRandomFeaturesAndLeavesCasesOutLikewise) {
  Cases cases(400, 0);
  for (size_t i = 0; i < cases.cxr.size(); ++i)
    cases.latents[i] = (cases.cxr[i][0][1][2] - 0.5).square() * torch::ones({2, 2, 3, 3});
  const auto straight = cases.fit(0), bent = cases.fit(0, -1, 500);
  const double spread = straight.mean->rest_std().mean().item<double>();
  EXPECT_LT(bent.mean->rest_std().mean().item<double>(), 0.7 * spread);
  // What it says of cases left out holds of new ones.
  torch::manual_seed(12);
  double squared = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const auto cxr = torch::rand({1, 1, 4, 4});
    const auto truth = (cxr[0][0][1][2] - 0.5).square();
    squared += (bent.mean->forward(cxr) - truth).square().mean().item<double>();
  }
  EXPECT_NEAR(std::sqrt(squared / 200), bent.mean->rest_std().mean().item<double>(),
              0.15 * bent.mean->rest_std().mean().item<double>());
  // The same draw, the same mean.
  const auto cxr = torch::rand({1, 1, 4, 4});
  EXPECT_LT(relative_error(cases.fit(0, -1, 500).mean->forward(cxr), bent.mean->forward(cxr)),
            1e-5);
}

TEST(LinearMean, IsTheSameAfterSavingAndRefusesFewerThanTwoCases) {
  const test::TemporaryFolder folder;
  const Cases cases(10, 0.1);
  const auto fit = cases.fit(0, -1, 20);
  save_module(folder.path(), *fit.mean, options_to_yaml(fit.mean->options()));
  const auto loaded = load_model<LinearMean>(folder.path());
  const auto cxr = cases.cxr[3].unsqueeze(0);
  // Products may differ in the last digit with where in memory their factors lie.
  EXPECT_LT(relative_error(loaded->forward(cxr), fit.mean->forward(cxr)), 1e-6);
  for (const auto& [name, tensor] : named_tensors(*fit.mean))
    EXPECT_TRUE(at::equal(named_tensors(*loaded).at(name), tensor)) << name;
  expect_error([] { Cases(1, 0).fit(0); }, "2 or more training cases");
}

TEST(LinearMean, OfBothViewsReadsEachAndOfOneNothingOfTheOther) {
  torch::manual_seed(12);
  const auto map = torch::randn({32, 4}) / 4;
  std::vector<at::Tensor> cxr, latents;
  for (int64_t i = 0; i < 60; ++i) {
    cxr.push_back(torch::rand({2, 4, 4}));
    latents.push_back(cxr.back().view({1, 32}).mm(map).view({1, 1, 2, 2}));
  }
  const auto fit = [&](ViewSet views) {
    LinearMeanOptions options;
    options.views = views;
    options.side = 4;
    return LinearMeanFit::of(
               60, options, [&](int64_t i) { return cxr[size_t(i)]; },
               [&](int64_t i) { return latents[size_t(i)]; }, random_stream(7, "test"))
        .mean;
  };
  const double both = fit(ViewSet::both)->rest_std().item<double>();
  const auto lateral = fit(ViewSet::lateral);
  EXPECT_LT(both, 0.01);
  EXPECT_GT(lateral->rest_std().item<double>(), 20 * both);
  auto other = cxr[0].unsqueeze(0).clone();
  other.select(1, 0).fill_(std::nan(""));
  EXPECT_TRUE(at::equal(lateral->forward(other), lateral->forward(cxr[0].unsqueeze(0))));
}

}  // namespace
}  // namespace x2ctpa
