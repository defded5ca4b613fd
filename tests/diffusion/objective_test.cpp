#include "x2ctpa/diffusion/objective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

constexpr Prediction kinds[] = {Prediction::noise, Prediction::x0, Prediction::v, Prediction::flow};

TEST(PredictionLoss, IsTheMeanOverEachSampleOnItsOwn) {
  const auto target = at::zeros({2, 1, 1, 1, 2});
  const auto prediction = at::tensor({0.5, -0.5, 3.0, 1.0}).view({2, 1, 1, 1, 2}).to(at::kFloat);
  const auto values = [&](const std::string& loss, double delta = 1) {
    return prediction_loss(loss, prediction, target, delta);
  };
  EXPECT_TRUE(at::allclose(values("l1"), at::tensor({0.5f, 2.0f})));
  EXPECT_TRUE(at::allclose(values("mse"), at::tensor({0.25f, 5.0f})));
  // d^2 / 2 within delta, delta (|d| - delta / 2) beyond.
  EXPECT_TRUE(at::allclose(values("huber"), at::tensor({0.125f, (2.5f + 0.5f) / 2})));
  EXPECT_TRUE(
      at::allclose(values("huber", 0.5), at::tensor({0.125f, (0.5f * 2.75f + 0.5f * 0.75f) / 2})));
  EXPECT_THROW(values("l3"), Error);
}

TEST(PredictedX0, LeadsBackToTheLatentFromEachSamplesOwnTimestep) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto x0 = case_noise(0, "x0", 0, {3, 2, 3, 4, 5}),
             eps = case_noise(0, "eps", 0, {3, 2, 3, 4, 5});
  const auto t = at::tensor({0, 400, 900}, at::kLong);
  const auto x_t = q_sample(schedule, x0, t, eps);
  for (const auto kind : kinds) {
    const auto found =
        predicted_x0(schedule, kind, x_t, t, prediction_target(schedule, kind, x0, t, eps));
    EXPECT_LT((found - x0).abs().max().item<double>(), 1e-4) << int(kind);
  }
}

TEST(MinSnr, WeighsEveryPredictionAsTheSquaredErrorOfTheCleanLatentItStandsFor) {
  // An error e of the prediction moves x_0 by (d x_0 / d prediction) e, so with one error of x_0
  // weight times squared error must be min(SNR, gamma) (d x_0)^2 whatever is predicted.
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto t = at::tensor({0, 100, 500, 900}, at::kLong);
  const auto x_t = at::zeros({4, 1, 1, 1, 1}), zero = at::zeros({4, 1, 1, 1, 1});
  const double gamma = 5;
  const auto expected = [&](int64_t step) {
    const auto [signal, noise] = schedule.at(step);
    return std::min(signal * signal / (noise * noise), gamma);
  };
  for (const auto kind : kinds) {
    const auto per_unit = (predicted_x0(schedule, kind, x_t, t, zero + 1) -
                           predicted_x0(schedule, kind, x_t, t, zero))
                              .flatten();
    const auto weights = min_snr_weights(schedule, kind, t, gamma);
    for (int64_t i = 0; i < 4; ++i) {
      const double change = per_unit[i].item<double>(),
                   wanted = expected(t[i].item<int64_t>()) * change * change;
      EXPECT_NEAR(weights[i].item<double>(), wanted, 1e-4 * wanted + 1e-6) << int(kind) << " " << i;
    }
  }
}

TEST(MinSnr, HasThePublishedFormOfEachPrediction) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto t = at::tensor({20, 500, 999}, at::kLong);
  for (int64_t i = 0; i < 3; ++i) {
    const auto [signal, noise] = schedule.at(t[i].item<int64_t>());
    const double snr = signal * signal / (noise * noise), least = std::min(snr, 5.0);
    const auto weight = [&](Prediction kind) {
      return min_snr_weights(schedule, kind, t, 5)[i].item<double>();
    };
    EXPECT_NEAR(weight(Prediction::x0), least, 1e-4 * least);
    EXPECT_NEAR(weight(Prediction::noise), least / snr, 1e-4);
    EXPECT_NEAR(weight(Prediction::v), least / (snr + 1), 1e-5);
  }
}

TEST(MinSnr, IsFiniteWhereTheScheduleEndsInPureNoise) {
  const NoiseSchedule schedule(ScheduleOptions{.zero_terminal_snr = true});
  for (const auto kind : kinds) {
    EXPECT_TRUE(std::isfinite(
        min_snr_weights(schedule, kind, at::tensor({999}, at::kLong), 5).item<double>()))
        << int(kind);
  }
}

TEST(Process, RefusesPredictionsThatMeanNothingOnTheSchedule) {
  DiffusionProcess process;
  EXPECT_NO_THROW(check_process(process));
  process.schedule.zero_terminal_snr = true;
  EXPECT_NO_THROW(check_process(process));
  process.prediction = "noise";
  EXPECT_THROW(check_process(process), Error);
  process.schedule = {.kind = "rectified-flow"};
  EXPECT_THROW(check_process(process), Error);
  process.prediction = "v";
  EXPECT_THROW(check_process(process), Error);
  process.prediction = "flow";
  EXPECT_NO_THROW(check_process(process));
}

}  // namespace
}  // namespace x2ctpa
