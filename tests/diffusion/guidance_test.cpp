// Guidance against closed forms.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/diffusion/guidance.h"

namespace x2ctpa {
namespace {

at::Tensor drawn(const std::string& name) {
  return case_noise(5, name, 0, {3, 2, 4, 5, 6}).to(at::kDouble);
}

double largest_gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Guidance, ExtrapolatesFromNullToOwn) {
  SamplerOptions options;
  options.guidance_scale = 3;
  const auto own = drawn("own"), null = drawn("null");
  EXPECT_LT(largest_gap(guided(options, own, null), 3 * own - 2 * null), 1e-12);
}

TEST(Guidance, RescalingBringsEachSampleBackToTheDeviationOfItsOwnPrediction) {
  SamplerOptions options;
  options.guidance_scale = 7;
  options.guidance_rescale = 1;
  const auto own = drawn("own") * at::tensor({1.0, 2.0, 5.0}, at::kDouble).view({3, 1, 1, 1, 1});
  const auto null = drawn("null");
  const auto deviation = [](const at::Tensor& x) { return x.flatten(1).std(1, false); };
  const auto full = guided(options, own, null);
  EXPECT_LT(largest_gap(deviation(full), deviation(own)), 1e-9);

  options.guidance_rescale = 0.7;
  const auto part = guided(options, own, null);
  const auto plain = 7 * own - 6 * null;
  EXPECT_LT(largest_gap(part, 0.7 * full + 0.3 * plain), 1e-9);
}

TEST(Guidance, ActsInsideItsIntervalOfNoiseLevelsOnly) {
  SamplerOptions options;
  const Mixture low{0.999, 0.0447}, middle{std::sqrt(0.5), std::sqrt(0.5)}, pure{0, 1};
  for (const auto& now : {low, middle, pure}) EXPECT_FALSE(guidance_acts(options, now));
  options.guidance_scale = 2;
  for (const auto& now : {low, middle, pure}) EXPECT_TRUE(guidance_acts(options, now));
  options.guidance_interval = {0.1, 10};
  EXPECT_FALSE(guidance_acts(options, low));
  EXPECT_TRUE(guidance_acts(options, middle));
  EXPECT_FALSE(guidance_acts(options, pure));
  options.guidance_interval = {0.2, 0.5};
  EXPECT_TRUE(guidance_acts(options, {1, 0.5}));   // the upper end is inside
  EXPECT_FALSE(guidance_acts(options, {1, 0.2}));  // the lower end is not
  options.guidance_interval = {2, 1};
  EXPECT_THROW(guidance_acts(options, middle), Error);
}

// The exact guided result: both branches are Gaussians of one deviation, so guidance moves the
// mean to null + scale (own - null) and keeps the deviation.
TEST(Guidance, OfGaussiansLeadsToTheExtrapolatedMean) {
  const NoiseSchedule schedule(ScheduleOptions{});
  SamplerOptions options;
  options.steps = 200;
  options.guidance_scale = 2.5;
  constexpr double own_mean = 0.4, null_mean = 0.1, deviation = 0.3;
  int64_t pairs = 0;
  const auto denoiser = [&](const at::Tensor& x, const at::Tensor& t) {
    const Mixture now = schedule.at(t[0].item<int64_t>());
    const double signal = now.signal, noise = now.noise;  // clang 14 captures no binding
    const auto eps = [&](double mean) {
      return noise * (x - signal * mean) /
             (signal * signal * deviation * deviation + noise * noise);
    };
    if (!guidance_acts(options, {signal, noise})) return eps(own_mean);
    ++pairs;
    return guided(options, eps(own_mean), eps(null_mean));
  };
  const auto x_T = case_noise(0, "x_T", 0, {1, 1, 20, 50, 50}).to(at::kDouble);
  const auto x = sample(schedule, Prediction::noise, options, denoiser, x_T, {});
  EXPECT_NEAR(x.mean().item<double>(), null_mean + 2.5 * (own_mean - null_mean), 0.02);
  EXPECT_NEAR(x.std().item<double>(), deviation, 0.02);
  EXPECT_EQ(pairs, 200);

  options.guidance_interval = {0.2, 2};
  pairs = 0;
  const auto confined = sample(schedule, Prediction::noise, options, denoiser, x_T, {});
  EXPECT_GT(pairs, 20);
  EXPECT_LT(pairs, 150);
  const double mean = confined.mean().item<double>();
  EXPECT_GT(mean, own_mean + 0.05);
  EXPECT_LT(mean, null_mean + 2.5 * (own_mean - null_mean));
}

}  // namespace
}  // namespace x2ctpa
