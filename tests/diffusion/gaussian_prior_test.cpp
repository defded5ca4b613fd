// The closed-form denoiser against the formulas that it stands for.
#include "x2ctpa/diffusion/gaussian_prior.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

const std::vector<int64_t> size{2, 2, 3, 3};

at::Tensor noise(const char* stream, at::IntArrayRef shape) {
  return at::randn(shape, random_stream(5, stream), at::TensorOptions(at::kFloat));
}

// Latents of three strong directions, unequal noise of each value, and a mean.
struct MadeUp {
  at::Tensor directions = 4 * std::get<0>(at::linalg_qr(noise("directions", {36, 3})));
  at::Tensor deviation = at::linspace(0.1, 1, 36), mean = at::linspace(-1, 1, 36);
  at::Tensor covariance = directions.mm(directions.t()) + at::diag(deviation.square());

  at::Tensor latents(const char* stream, int64_t n) const {
    const auto along = noise(stream, {n, 3}).mm(directions.t());
    return (mean + along + deviation * noise("own", {n, 36})).view({n, 2, 2, 3, 3});
  }
  // E[x_0 | x_t], by the inverse of the whole covariance.
  at::Tensor expected(const at::Tensor& x_t, Mixture now) const {
    const auto own = at::eye(36) * (now.noise * now.noise);
    const auto gain =
        now.signal * covariance.mm(at::linalg_inv(now.signal * now.signal * covariance + own));
    return (mean + (x_t.flatten(1) - now.signal * mean).mm(gain.t())).view(x_t.sizes());
  }
};

GaussianPrior fitted(const at::Tensor& latents, int64_t components) {
  GaussianPrior prior(GaussianPriorOptions{components, size});
  prior->fit(latents.size(0), [&](int64_t i) { return latents[i]; });
  return prior;
}

TEST(GaussianPrior, GivesTheExpectationOfALatentWhoseCovarianceItWasFittedTo) {
  const MadeUp made;
  const GaussianPrior prior = fitted(made.latents("training", 500), 3);
  const auto clean = made.latents("test", 50);
  for (const Mixture now : {Mixture{0.98, 0.2}, Mixture{0.7, 0.714}, Mixture{0.1, 0.995}}) {
    const auto x_t = now.signal * clean + now.noise * noise("eps", clean.sizes());
    const auto expected = made.expected(x_t, now);
    const double scale = expected.square().mean().item<double>();
    EXPECT_LT((prior->x0(x_t, now) - expected).square().mean().item<double>(), 0.02 * scale)
        << now.signal;
  }
}

TEST(GaussianPrior, GivesTheMeanWhereAllIsNoise) {
  const MadeUp made;
  const GaussianPrior prior = fitted(made.latents("training", 100), 3);
  const auto x0 = prior->x0(noise("x", {2, 2, 2, 3, 3}), {0, 1});
  EXPECT_TRUE(x0[0].equal(x0[1]));
  EXPECT_TRUE(x0[0].equal(made.latents("training", 100).mean(0)) ||
              (x0[0] - made.latents("training", 100).mean(0)).abs().max().item<double>() < 1e-5);
}

TEST(GaussianPrior, ItsCovarianceIsTheOneThatItsExpectationsFollow) {
  const MadeUp made;
  const GaussianPrior prior = fitted(made.latents("training", 500), 3);
  // Where nearly all is noise, E[x_0 | x_t] moves by the covariance times x_t over the noise's
  // variance.
  const Mixture now{1, 1000};
  const auto x = 1e4 * noise("x", {4, 2, 2, 3, 3});
  const auto moved = prior->x0(x, now) - prior->x0(at::zeros_like(x), now);
  const auto expected = prior->covariance_times(x) / 1e6;
  EXPECT_LT((moved - expected).abs().max().item<double>(),
            1e-3 * expected.abs().max().item<double>());
}

TEST(GaussianPrior, PredictsEveryKindOfItsX0EachSampleAtItsOwnTime) {
  const MadeUp made;
  const GaussianPrior prior = fitted(made.latents("training", 60), 5);
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto x_t = noise("x", {3, 2, 2, 3, 3});
  const auto t = at::tensor({900, 20, 900}, at::kLong);
  for (const Prediction kind : {Prediction::noise, Prediction::x0, Prediction::v}) {
    const auto x0 = predicted_x0(schedule, kind, x_t, t, prior->prediction(schedule, kind, x_t, t));
    for (int64_t i = 0; i < 3; ++i) {
      const auto alone = prior->x0(x_t.slice(0, i, i + 1), schedule.at(t[i].item<int64_t>()))[0];
      EXPECT_LT((x0[i] - alone).abs().max().item<double>(), 1e-3) << i;
    }
  }
}

TEST(GaussianPrior, ALargeLatentKeepsItsPrecisionWhereTheNoiseIsLow) {
  const std::vector<int64_t> large{4, 16, 48, 48};
  constexpr int64_t values = 4 * 16 * 48 * 48, cases = 12;
  const auto patterns = noise("patterns", {3, values});
  auto shape = large;
  shape.insert(shape.begin(), cases);
  const auto latents =
      (noise("weights", {cases, 3}).mm(patterns) + 0.05 * noise("rest", {cases, values}))
          .view(shape);
  GaussianPrior prior(GaussianPriorOptions{3, large});
  prior->fit(cases, [&](int64_t i) { return latents[i]; });
  const NoiseSchedule schedule(ScheduleOptions{});
  for (const int64_t step : {0, 300}) {
    const Mixture now = schedule.at(step);
    const auto x_t = now.signal * latents + now.noise * noise("eps", shape);
    // What is wrong in x_0 is at most of the size of the noise that was put in.
    const auto wrong = (prior->x0(x_t, now) - latents).square().mean().sqrt().item<double>();
    EXPECT_LT(wrong, 1.5 * now.noise / now.signal) << step;
    const auto t = at::full({cases}, step, at::kLong);
    const auto eps = prior->prediction(schedule, Prediction::noise, x_t, t);
    EXPECT_LT(eps.square().mean().item<double>(), 1.5) << step;
  }
}

TEST(GaussianPrior, MoreComponentsThanCasesHoldChangeNothingAndTooFewCasesAreRefused) {
  const MadeUp made;
  const auto latents = made.latents("training", 12);
  const GaussianPrior nine = fitted(latents, 9), many = fitted(latents, 40);
  const auto x = noise("x", {2, 2, 2, 3, 3});
  EXPECT_LT((nine->x0(x, {0.8, 0.6}) - many->x0(x, {0.8, 0.6})).abs().max().item<double>(), 1e-4);
  EXPECT_THROW(fitted(made.latents("training", 7), 3), Error);
}

}  // namespace
}  // namespace x2ctpa
