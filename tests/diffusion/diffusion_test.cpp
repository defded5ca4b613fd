#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "support/closed_form_denoiser.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/diffusion/sampler.h"

namespace x2ctpa {
namespace {

// The exact denoiser of data distributed as N(mean, std^2) per element.
DenoiserFunction gaussian_denoiser(const NoiseSchedule& schedule, Prediction kind, double mean,
                                   double std) {
  return [&schedule, kind, mean, std](const at::Tensor& x, const at::Tensor& t) {
    const double a = test::alpha_bar(schedule, t[0].item<int64_t>());
    const auto x0 =
        mean + std::sqrt(a) * std * std / (a * std * std + 1 - a) * (x - std::sqrt(a) * mean);
    const auto eps = (x - std::sqrt(a) * x0) / std::sqrt(1 - a);
    if (kind == Prediction::noise) return at::Tensor(eps);
    if (kind == Prediction::x0) return at::Tensor(x0);
    return at::Tensor(std::sqrt(a) * eps - std::sqrt(1 - a) * x0);
  };
}

class SamplerOfGaussian : public testing::TestWithParam<std::tuple<Sampler, Prediction, int>> {};

TEST_P(SamplerOfGaussian, DrawsFromTheDataDistribution) {
  const auto [sampler, kind, steps] = GetParam();
  const NoiseSchedule schedule(ScheduleOptions{});
  SamplerOptions options;
  options.kind = sampler;
  options.steps = steps;
  const auto noise = [](int64_t step) {
    return case_noise(1, "fresh", step, {1, 1, 20, 50, 50}).to(at::kDouble);
  };
  const auto x = sample(schedule, kind, options, gaussian_denoiser(schedule, kind, 0.7, 0.3),
                        case_noise(0, "x_T", 0, {1, 1, 20, 50, 50}).to(at::kDouble), noise);
  EXPECT_NEAR(x.mean().item<double>(), 0.7, 0.01);
  EXPECT_NEAR(x.std().item<double>(), 0.3, 0.02);
}

INSTANTIATE_TEST_SUITE_P(Samplers, SamplerOfGaussian,
                         testing::Values(std::tuple(Sampler::ddim, Prediction::noise, 100),
                                         std::tuple(Sampler::ddim, Prediction::v, 100),
                                         std::tuple(Sampler::ddim, Prediction::x0, 100),
                                         std::tuple(Sampler::dpmpp2m, Prediction::v, 50),
                                         std::tuple(Sampler::unipc, Prediction::x0, 50),
                                         std::tuple(Sampler::ddpm, Prediction::v, 1000),
                                         std::tuple(Sampler::ddpm, Prediction::noise, 1000)));

TEST(Sampler, TemperatureScalesTheNoiseThatIsDrawn) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto draw = [&](Sampler kind, double temperature, double mean) {
    SamplerOptions options;
    options.kind = kind;
    options.steps = 100;
    options.temperature = temperature;
    const auto noise = [](int64_t step) {
      return case_noise(1, "fresh", step, {1, 1, 20, 50, 50}).to(at::kDouble);
    };
    return sample(schedule, Prediction::v, options,
                  gaussian_denoiser(schedule, Prediction::v, mean, 0.3),
                  case_noise(0, "x_T", 0, {1, 1, 20, 50, 50}).to(at::kDouble), noise);
  };
  for (const Sampler kind : {Sampler::ddim, Sampler::ddpm}) {
    // A linear sampler of data around 0: the deviation follows the noise.
    EXPECT_NEAR(draw(kind, 0.5, 0).std().item<double>(), 0.15, 0.01);
    EXPECT_EQ(draw(kind, 0, 0).abs().max().item<double>(), 0);
  }
}

TEST(Objective, EveryPredictionLeadsBackToTheSameLatentAndNoise) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto x0 = case_noise(0, "x0", 0, {1, 2, 3, 4, 5}),
             eps = case_noise(0, "eps", 0, {1, 2, 3, 4, 5});
  for (const int64_t t : {0, 400, 990}) {
    const auto steps = at::full({1}, t, at::kLong);
    const auto x_t = q_sample(schedule, x0, steps, eps);
    for (const auto kind : {Prediction::noise, Prediction::x0, Prediction::v, Prediction::flow}) {
      const auto d =
          denoised(kind, schedule.at(t), x_t, prediction_target(schedule, kind, x0, steps, eps));
      EXPECT_LT((d.x0 - x0).abs().max().item<double>(), 2e-3) << t;
      EXPECT_LT((d.eps - eps).abs().max().item<double>(), 2e-2) << t;
    }
  }
}

TEST(Schedule, ZeroTerminalSnrEndsInPureNoiseAndKeepsTheFirstStep) {
  ScheduleOptions options;
  const NoiseSchedule plain(options);
  options.zero_terminal_snr = true;
  const NoiseSchedule zero(options);
  EXPECT_NEAR(test::alpha_bar(zero, 999), 0, 1e-12);
  EXPECT_NEAR(test::alpha_bar(zero, 0), test::alpha_bar(plain, 0), 1e-12);
  EXPECT_EQ(test::alpha_bar(zero, -1), 1.0);
}

TEST(Schedule, TrailingTimestepsBeginAtTheLastAndAreDistinct) {
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::trailing),
            (std::vector<int64_t>{999, 749, 499, 249}));
  EXPECT_EQ(sampling_timesteps(1000, 1000, TimestepSpacing::trailing).back(), 0);
  EXPECT_THROW(sampling_timesteps(10, 11, TimestepSpacing::trailing), Error);
}

}  // namespace
}  // namespace x2ctpa
