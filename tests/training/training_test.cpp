#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <string>

#include "support/temporary_folder.h"
#include "support/test_device.h"
#include "training/view_dropout.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/diffusion/guidance.h"
#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/checkpoint.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/optimiser.h"

namespace x2ctpa {
namespace {

// Largest difference between five steps of ours and of `Theirs`, with gradients in two scales.
template <class Theirs, class TheirOptions>
double difference_from(bool decoupled) {
  torch::manual_seed(3);
  torch::nn::Linear a(5, 4), b(5, 4);
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < 2; ++i) b->parameters()[i].copy_(a->parameters()[i]);
  Adam ours(a->parameters(), {{0.8, 0.95}, 0.1, decoupled});
  Theirs theirs(b->parameters(), TheirOptions(0.01).betas({0.8, 0.95}).weight_decay(0.1));
  for (int step = 0; step < 5; ++step) {
    const auto x = torch::randn({6, 5});
    at::AutoGradMode grad(true);
    (a->forward(x).square().sum() * 64).backward();
    theirs.zero_grad();
    b->forward(x).square().sum().backward();
    ours.step(0.01, /*divisor=*/64);
    theirs.step();
  }
  double worst = 0;
  for (size_t i = 0; i < 2; ++i)
    worst = std::max(worst, (a->parameters()[i] - b->parameters()[i]).abs().max().item<double>());
  return worst;
}

TEST(Adam, TakesTheSameStepsAsTorchsOwn) {
  EXPECT_LT((difference_from<torch::optim::AdamW, torch::optim::AdamWOptions>(true)), 1e-6);
  EXPECT_LT((difference_from<torch::optim::Adam, torch::optim::AdamOptions>(false)), 1e-6);
}

TEST(Adam, LeavesAParameterWithoutAGradientAsItIs) {
  auto p = torch::ones({2}, torch::requires_grad()), q = torch::ones({1}, torch::requires_grad());
  p.mutable_grad() = torch::tensor({3.0f, 4.0f});
  Adam optimiser({p, q}, {.weight_decay = 0.1});
  EXPECT_NEAR(optimiser.gradient_norm(), 5.0, 1e-6);
  optimiser.step(0.1);
  EXPECT_LT(p[0].item<double>(), 1);
  EXPECT_EQ(q.item<double>(), 1);
  EXPECT_FALSE(p.grad().defined());
}

TEST(Schedule, OneCycleWarmsUpToTheHighestAndEndsNearZero) {
  TrainOptions options;
  options.steps = 100;
  EXPECT_NEAR(schedule_at(options, 0), 0.1, 1e-12);
  EXPECT_NEAR(schedule_at(options, 9), 1, 1e-12);
  EXPECT_LT(schedule_at(options, 99), 1e-3);
  EXPECT_GT(schedule_at(options, 99), 0);
}

TEST(Schedule, EachNameIsItsCurve) {
  TrainOptions options;
  options.steps = 100;
  options.schedule = LearningRateCourse::warm_up;
  EXPECT_NEAR(schedule_at(options, 4), 0.5, 1e-12);
  EXPECT_EQ(schedule_at(options, 99), 1);
  options.schedule = LearningRateCourse::cosine;
  EXPECT_EQ(schedule_at(options, 0), 1);
  EXPECT_NEAR(schedule_at(options, 50), 0.5, 1e-12);
  options.schedule = LearningRateCourse::constant;
  EXPECT_EQ(schedule_at(options, 0), 1);
}

TEST(Checkpoint, TheNewestAreKeptAndAFlippedByteIsNoticed) {
  const test::TemporaryFolder folder;
  for (const int64_t step : {1, 2, 3})
    write_checkpoint(folder.path(), {step, "s", {{"w", at::full({2}, double(step))}}}, 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "step-000000001.safetensors"));
  EXPECT_EQ(newest_checkpoint(folder.path())->step, 3);
  std::string bytes = read_file(folder / "step-000000003.safetensors");
  bytes.back() ^= 1;
  write_file(folder / "step-000000003.safetensors", bytes);
  EXPECT_EQ(newest_checkpoint(folder.path())->step, 2);
}

CtpaDenoiser small_denoiser() {
  torch::manual_seed(1);
  CtpaDenoiserOptions options;
  options.encoder = {
      .width = 4, .stages = 3, .feature_channels = 2, .embedding_dim = 8, .groups = 2};
  options.unet.dim = 8;
  options.unet.dim_mults = {1, 2};
  return CtpaDenoiser(options, 3, std::array<int64_t, 3>{2, 4, 4},
                      BackProjectionGeometry{.spacing_xyz_mm = {80, 60, 100}});
}

// One optimiser step and a two-step sample on `device`; returns the sample on the CPU.
at::Tensor train_and_sample(const c10::Device device) {
  auto model = small_denoiser();
  model->to(device);
  Adam optimiser(model->parameters(), {.weight_decay = 0.01});
  WeightAverage average(*model, 0.9);
  torch::manual_seed(2);
  const auto cxr = at::rand({2, 1, 32, 32}).to(device), x = at::randn({2, 3, 2, 4, 4}).to(device);
  const auto t = at::tensor({10, 700}, at::kLong).to(device),
             drop = (at::tensor({1, 0}) > 0).to(device);
  prediction_loss(PredictionLoss::mse, model->forward(x, t, model->condition(cxr), drop), x)
      .mean()
      .backward();
  optimiser.step(1e-2, std::max(1.0, optimiser.gradient_norm()));
  average.update();
  average.apply();
  at::NoGradGuard no_grad;
  SamplerOptions sampler;
  sampler.steps = 2;
  sampler.guidance_scale = 2;
  const auto condition = model->condition(cxr);
  return sample(NoiseSchedule(ScheduleOptions{}), Prediction::v, sampler,
                [&](const at::Tensor& x_t, const at::Tensor& at_t) {
                  const auto [own, null] = model->own_and_null(x_t, at_t, condition);
                  return guided(sampler, own, null);
                },
                x, {})
      .to(at::kCPU);
}

TEST(TestDevice, TrainingStepAndSamplingRunThereAndMatchTheCpu) {
  const auto cpu = train_and_sample(c10::kCPU), other = train_and_sample(test::test_device());
  EXPECT_LT((cpu - other).abs().max().item<double>() / cpu.abs().max().item<double>(), 1e-4);
}

// Trains four steps there at once, and four whose last two are done anew from a checkpoint.
template <class MakeModel, class Loss>
void expect_resume_there(MakeModel make, Loss loss) {
  TrainOptions options;
  options.steps = 4;
  options.checkpoint_every = 2;
  options.keep_checkpoints = 2;
  const auto run = [&](const std::filesystem::path& folder) {
    torch::manual_seed(5);
    auto model = make();
    model->to(test::test_device());
    TrainingStage stage;
    stage.name = "test";
    stage.module = model.get();
    stage.start_at = [](int64_t) {};
    stage.loss = [&](int64_t step) {
      torch::manual_seed(100 + step);  // the noise of dropout and the data follow from the step
      return loss(model);
    };
    stage.validate = [] { return 0.0; };
    train(stage, options, "settings\n", folder);
    return named_tensors(*model);
  };
  const test::TemporaryFolder folder;
  const auto whole = run(folder.path());
  std::filesystem::remove(folder / "checkpoints" / "step-000000004.safetensors");
  ASSERT_EQ(newest_checkpoint(folder / "checkpoints")->step, 2);
  const auto resumed = run(folder.path());
  for (const auto& [name, tensor] : whole) {
    EXPECT_EQ(resumed.at(name).device().type(), test::test_device().type()) << name;
    EXPECT_TRUE(at::equal(resumed.at(name).detach().to(at::kCPU), tensor.detach().to(at::kCPU)))
        << name;
  }
}

at::Tensor there(const at::Tensor& x) { return x.to(test::test_device()); }

TEST(TestDevice, TheDenoiserResumesThere) {
  expect_resume_there(
      [] { return small_denoiser(); },
      [](CtpaDenoiser& model) {
        const auto x = there(at::randn({2, 3, 2, 4, 4})), cxr = there(at::rand({2, 1, 32, 32}));
        return prediction_loss(PredictionLoss::mse,
                               model->forward(x, there(at::tensor({10, 700}, at::kLong)),
                                              model->condition(cxr)),
                               x)
            .mean();
      });
}

TEST(TestDevice, TheVqganResumesThere) {
  Vqgan3dOptions options;
  options.hidden_channels = 4;
  options.embedding_dim = 4;
  options.codes = 16;
  options.downsample = {2, 2, 2};
  options.groups = 2;
  options.random_restart = false;
  expect_resume_there([&] { return Vqgan3d(options); },
                      [](Vqgan3d& model) {
                        const auto x = there(at::rand({1, 1, 4, 8, 8}));
                        const auto out = model->forward(x);
                        return (out.reconstruction - x).abs().mean() +
                               commitment_loss(out.codes, 0.25);
                      });
}

TEST(TestDevice, TheClassifierResumesThere) {
  DenseNet3dOptions options;
  options.blocks = {1, 1};
  options.growth = 4;
  options.init_features = 8;
  options.drop_rate = 0;
  expect_resume_there([&] { return DenseNet3d(options); },
                      [](DenseNet3d& model) {
                        return model->forward(there(at::rand({2, 1, 8, 16, 16}))).square().mean();
                      });
}

TEST(TestDevice, AnXrayLeftOnTheCpuFailsThere) {
  auto model = small_denoiser();
  model->to(test::test_device());
  EXPECT_ANY_THROW(model->condition(at::rand({1, 1, 32, 32})));
}

TEST(CtpaDenoiser, TheXrayChangesThePredictionAndADroppedOneDoesNot) {
  auto model = small_denoiser();
  model->eval();
  at::NoGradGuard no_grad;
  const auto x = at::randn({1, 3, 2, 4, 4}), t = at::full({1}, 500, at::kLong);
  const auto a = model->condition(at::rand({1, 1, 32, 32})),
             b = model->condition(at::rand({1, 1, 32, 32}));
  const auto dropped = at::ones({1}, at::kBool);
  EXPECT_FALSE(at::allclose(model->forward(x, t, a), model->forward(x, t, b)));
  EXPECT_TRUE(at::equal(model->forward(x, t, a, dropped), model->forward(x, t, b, dropped)));
}

TEST(CtpaDenoiser, TheTwoPredictionsThatGuidanceNeedsAreThoseOfTheirOwn) {
  auto model = small_denoiser();
  model->eval();
  at::NoGradGuard no_grad;
  const auto x = at::randn({2, 3, 2, 4, 4}), t = at::tensor({500, 20}, at::kLong);
  const auto condition = model->condition(at::rand({2, 1, 32, 32}));
  const auto [own, null] = model->own_and_null(x, t, condition);
  const auto alone = model->forward(x, t, condition),
             without = model->forward(x, t, condition, at::ones({2}, at::kBool));
  EXPECT_LT((own - alone).abs().max().item<double>(), 1e-4);
  EXPECT_LT((null - without).abs().max().item<double>(), 1e-4);
  const SamplerOptions three{.guidance_scale = 3};
  EXPECT_LT(
      (guided(three, own, null) - (without + 3 * (alone - without))).abs().max().item<double>(),
      1e-3);
}

TEST(ViewDropout, HidesEachViewAsOftenAndDependsOnCaseAndNumberAlone) {
  Batch batch;
  for (int i = 0; i < 400; ++i) batch.cases.push_back({std::to_string(i)});
  const auto cxr = torch::rand({400, 2, 2, 2});
  const auto sets = [&](double share, int64_t number) {
    batch.cxr = cxr.clone();
    hide_views(batch, share, 3, "test", number);
    return view_sets_of(batch.cxr);
  };
  const auto half = sets(0.5, 7);
  for (const int64_t set : {0, 1})
    EXPECT_NEAR((half == set).to(at::kFloat).mean().item<double>(), 0.25, 0.08);
  EXPECT_TRUE(at::equal(half, sets(0.5, 7)));
  EXPECT_FALSE(at::equal(half, sets(0.5, 8)));
  EXPECT_TRUE((sets(0, 7) == 2).all().item<bool>());
  EXPECT_FALSE((sets(1, 7) == 2).any().item<bool>());
  // What has one view keeps it.
  batch.cases.resize(1);
  batch.cxr = only_views(cxr.narrow(0, 0, 1), ViewSet::lateral);
  hide_views(batch, 1, 3, "test", 7);
  EXPECT_EQ(view_sets_of(batch.cxr).item<int64_t>(), 1);
}

}  // namespace
}  // namespace x2ctpa
