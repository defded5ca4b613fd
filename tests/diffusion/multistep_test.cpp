// The few-step samplers against closed forms and against diffusers' schedulers.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "support/closed_form_denoiser.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/diffusion/sampler.h"

namespace x2ctpa {
namespace {

at::Tensor standard_noise(const std::string& name) {
  return case_noise(3, name, 0, {2, 2, 3, 8, 8}).to(at::kDouble);
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// Where the diffusion ODE leads from x_T for that data: the share of x_T that is not target,
// shrunk from its deviation at the start to 0.3.
at::Tensor exact_end(const NoiseSchedule& schedule, const at::Tensor& target, const at::Tensor& x_T,
                     int64_t start) {
  const double a = test::alpha_bar(schedule, start);
  return target + 0.3 * (x_T - std::sqrt(a) * target) / std::sqrt(0.09 * a + 1 - a);
}

double error_of(Sampler kind, int64_t steps) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto target = 0.5 * standard_noise("target"), x_T = standard_noise("x_T");
  SamplerOptions options;
  options.kind = kind;
  options.steps = steps;
  const auto x = sample(schedule, Prediction::noise, options,
                        test::closed_form_denoiser(schedule.signal().square(), target), x_T, {});
  return largest_difference(x, exact_end(schedule, target, x_T, 999));
}

TEST(Multistep, SecondOrderSolversNeedFewerStepsThanDdim) {
  for (const auto kind : {Sampler::dpmpp2m, Sampler::unipc}) {
    EXPECT_LT(error_of(kind, 20), 0.5 * error_of(Sampler::ddim, 20)) << word_of(kind);
    EXPECT_LT(error_of(kind, 80), 0.3 * error_of(kind, 20)) << word_of(kind);
  }
}

TEST(Multistep, SolversStartFromPureNoiseAtZeroTerminalSnr) {
  ScheduleOptions zero;
  zero.zero_terminal_snr = true;
  const NoiseSchedule schedule(zero);
  const auto target = standard_noise("target"), x_T = standard_noise("x_T");
  for (const auto kind : {Sampler::dpmpp2m, Sampler::unipc, Sampler::ddim}) {
    SamplerOptions options;
    options.kind = kind;
    options.steps = 50;
    const auto v = [&](const at::Tensor& x, const at::Tensor& t) {
      const auto [signal, noise] = schedule.at(t[0].item<int64_t>());
      const auto x0 =
          target + signal * 0.09 / (signal * signal * 0.09 + noise * noise) * (x - signal * target);
      return signal * (x - signal * x0) / noise - noise * x0;
    };
    const auto x = sample(schedule, Prediction::v, options, v, x_T, {});
    EXPECT_LT(largest_difference(x, target + 0.3 * x_T), 0.15) << word_of(kind);
  }
}

TEST(RectifiedFlow, IsSolvedInOneStepWherePathsAreStraight) {
  ScheduleOptions flow;
  flow.kind = NoiseScheduleKind::rectified_flow;
  const NoiseSchedule schedule(flow);
  const auto target = standard_noise("target"), x_T = standard_noise("x_T");
  SamplerOptions options;
  options.kind = Sampler::euler;
  for (const int64_t steps : {1, 7}) {
    options.steps = steps;
    const auto velocity = [&](const at::Tensor&, const at::Tensor&) { return x_T - target; };
    EXPECT_LT(
        largest_difference(sample(schedule, Prediction::flow, options, velocity, x_T, {}), target),
        1e-12);
  }
}

TEST(RectifiedFlow, TheDefaultSamplerFollowsAFlowModelFromPureNoiseToTheData) {
  ScheduleOptions flow;
  flow.kind = NoiseScheduleKind::rectified_flow;
  const NoiseSchedule schedule(flow);
  const auto velocity = [](const at::Tensor& x, const at::Tensor& t) {
    return (x * t[0].item<double>() / 1000).sin();
  };
  const auto made = [&](Sampler kind, int64_t steps) {
    SamplerOptions options;
    options.kind = kind;
    options.steps = steps;
    return sample(schedule, Prediction::flow, options, velocity, standard_noise("x_T"), {});
  };
  const auto exact = made(Sampler::euler, 1000);
  EXPECT_LT(largest_difference(made(SamplerOptions().kind, SamplerOptions().steps), exact),
            largest_difference(made(Sampler::euler, 15), exact));
}

TEST(RectifiedFlow, EulerStepsAreDdimSteps) {
  ScheduleOptions flow;
  flow.kind = NoiseScheduleKind::rectified_flow;
  const NoiseSchedule schedule(flow);
  const auto velocity = [](const at::Tensor& x, const at::Tensor& t) {
    return (x * t[0].item<double>() / 1000).sin();
  };
  SamplerOptions options;
  options.kind = Sampler::ddim;
  options.steps = 30;
  const auto ddim =
      sample(schedule, Prediction::flow, options, velocity, standard_noise("x_T"), {});
  options.kind = Sampler::euler;
  const auto euler =
      sample(schedule, Prediction::flow, options, velocity, standard_noise("x_T"), {});
  EXPECT_LT(largest_difference(ddim, euler), 1e-12);
  EXPECT_THROW(sample(NoiseSchedule(ScheduleOptions{}), Prediction::flow, options, velocity,
                      standard_noise("x_T"), {}),
               Error);
}

TEST(Thresholding, LimitsToTheClampOrToTheQuantileOfEachSample) {
  SamplerOptions options;
  const auto x0 = at::linspace(-4, 4, 81, at::kDouble).view({1, 1, 1, 9, 9});
  EXPECT_TRUE(limited(options, x0).equal(x0));
  options.clamp = 1;
  EXPECT_TRUE(limited(options, x0).equal(x0.clamp(-1, 1)));
  options.dynamic_threshold = 0.5;  // the median of |x0| is 2
  const auto both = limited(options, at::cat({x0, 0.1 * x0}));
  EXPECT_LT(largest_difference(both[0], x0[0].clamp(-2, 2) / 2), 1e-6);
  EXPECT_LT(largest_difference(both[1], 0.1 * x0[0]), 1e-6);
}

TEST(Thresholding, TurnsTheNoiseToTheLimitedLatentUnlessItIsKept) {
  SamplerOptions options;
  options.clamp = 1;
  const Mixture now{0.6, 0.8};
  const auto x = 3 * standard_noise("x"), prediction = standard_noise("eps");
  const auto turned = denoised(options, Prediction::noise, now, x, prediction);
  EXPECT_LT(largest_difference(0.6 * turned.x0 + 0.8 * turned.eps, x), 1e-12);
  options.keep_noise = true;
  const auto kept = denoised(options, Prediction::noise, now, x, prediction);
  EXPECT_TRUE(kept.eps.equal(prediction));
  EXPECT_TRUE(kept.x0.equal(turned.x0));
}

TEST(SamplingTimesteps, FollowDiffusers) {
  using Steps = std::vector<int64_t>;
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::leading), (Steps{750, 500, 250, 0}));
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::linspace), (Steps{999, 666, 333, 0}));
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::leading, true),
            (Steps{800, 600, 400, 200}));
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::linspace, true),
            (Steps{999, 749, 500, 250}));
  EXPECT_EQ(sampling_timesteps(1000, 4, TimestepSpacing::trailing, true),
            (Steps{999, 749, 499, 249}));
  EXPECT_EQ(sampling_timesteps(1000, 1, TimestepSpacing::linspace), Steps{999});
  EXPECT_THROW(sampling_timesteps(10, 10, TimestepSpacing::linspace, true), Error);
}

// One entry of the samplers case: diffusers' result and our options for it.
struct Published {
  std::string name;
  Sampler kind;
  TimestepSpacing timesteps;
};

void PrintTo(const Published& published, std::ostream* out) { *out << published.name; }

class SamplerOfDiffusers : public testing::TestWithParam<Published> {};

TEST_P(SamplerOfDiffusers, LeadsToTheSameResult) {
  const auto file = std::filesystem::path(X2CTPA_SOURCE_DIR).parent_path() /
                    "shared/reference-vectors/samplers.safetensors";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no " << file;
  const auto vectors = read_safetensors(file);
  const auto alphas = test::alphas_of_diffusers(NoiseSchedule(ScheduleOptions{}));
  SamplerOptions options;
  options.kind = GetParam().kind;
  const auto schedule = options.kind == Sampler::ddim
                            ? NoiseSchedule(ScheduleOptions{})
                            : test::multistep_schedule_of_diffusers(alphas);
  options.timesteps = GetParam().timesteps;
  options.clamp = options.kind == Sampler::ddim ? 1 : 0;
  options.keep_noise = true;
  for (const int64_t steps : {10, 25, 50}) {
    options.steps = steps;
    const auto name = fmt::format("{}_{}", GetParam().name, steps);
    const auto times = vectors.at(name + "_timesteps");
    EXPECT_TRUE(at::tensor(timesteps_of(schedule, options)).equal(times)) << name;
    const auto x =
        sample(schedule, Prediction::noise, options,
               test::closed_form_denoiser(alphas, vectors.at("target")), vectors.at("x_T"), {});
    const auto& expected = vectors.at(name);
    EXPECT_LT(largest_difference(x, expected) / expected.abs().max().item<double>(), 1e-4) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Diffusers, SamplerOfDiffusers,
    testing::Values(Published{"ddim", Sampler::ddim, TimestepSpacing::leading},
                    Published{"ddim_trailing", Sampler::ddim, TimestepSpacing::trailing},
                    Published{"dpmpp2m", Sampler::dpmpp2m, TimestepSpacing::trailing},
                    Published{"dpmpp2m_leading", Sampler::dpmpp2m, TimestepSpacing::linspace},
                    Published{"unipc", Sampler::unipc, TimestepSpacing::trailing}));

}  // namespace
}  // namespace x2ctpa
