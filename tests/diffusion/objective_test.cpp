#include "x2ctpa/diffusion/objective.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

constexpr Prediction kinds[] = {Prediction::noise, Prediction::x0, Prediction::v, Prediction::flow};

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

TEST(Process, RefusesPredictionsThatMeanNothingOnTheSchedule) {
  DiffusionProcess process;
  EXPECT_NO_THROW(check_process(process));
  process.schedule.zero_terminal_snr = true;
  EXPECT_NO_THROW(check_process(process));
  process.prediction = Prediction::noise;
  EXPECT_THROW(check_process(process), Error);
  process.schedule = {.kind = NoiseScheduleKind::rectified_flow};
  EXPECT_THROW(check_process(process), Error);
  process.prediction = Prediction::v;
  EXPECT_THROW(check_process(process), Error);
  process.prediction = Prediction::flow;
  EXPECT_NO_THROW(check_process(process));
}

}  // namespace
}  // namespace x2ctpa
