#include "x2ctpa/training/loop.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/checkpoint.h"

namespace x2ctpa {
namespace {

using test::TemporaryFolder;

TensorMap copies(const torch::nn::Module& module) {
  TensorMap out = named_tensors(module);
  for (auto& [name, tensor] : out) tensor = tensor.detach().clone();
  return out;
}

bool equal(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    if (!at::equal(tensor, b.at(name))) return false;
  }
  return true;
}

std::vector<nlohmann::json> metrics(const TemporaryFolder& folder) {
  std::vector<nlohmann::json> out;
  std::istringstream lines(read_file(folder / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

// A linear map that learns to double numbers while a second one learns to tell its outputs.
struct Duel {
  Duel() {
    torch::manual_seed(4);
    player = torch::nn::Linear(3, 3);
    judge = torch::nn::Linear(3, 1);
    options.steps = 6;
    options.checkpoint_every = 1;
    options.keep_checkpoints = 6;
    options.log_every = 1;
    stage.name = "duel";
    stage.module = player.get();
    stage.start_at = [](int64_t) {};
    stage.loss = [this](int64_t batch) {
      const auto x =
          at::randn({4, 3}, random_stream(1, std::to_string(batch)), at::TensorOptions(at::kFloat));
      const auto made = player->forward(x);
      made_ = made.detach();
      const auto error = (made - 2 * x).square().mean(), fooled = -judge->forward(made).mean();
      StepLoss loss = error + 0.1 * fooled;
      loss.terms = {{"error", error}, {"fooled", fooled}};
      loss.cases = {"a", "b", "c", "d"};
      loss.inputs = {x};
      return loss;
    };
    stage.validate = [] { return 0.0; };
    Opponent opponent;
    opponent.name = "judge";
    opponent.module = judge.get();
    opponent.learning_rate = 0.01;
    opponent.loss = [this](int64_t) {
      return StepLoss((judge->forward(made_) - 1).square().mean());
    };
    stage.opponents = {opponent};
  }

  torch::nn::Linear player{nullptr}, judge{nullptr};
  TrainOptions options;
  TrainingStage stage;

 private:
  at::Tensor made_;
};

TEST(Loop, LogsEveryTermOfTheLossUnderItsName) {
  const TemporaryFolder folder;
  Duel duel;
  train(duel.stage, duel.options, "", folder.path());
  for (const auto& line : metrics(folder)) {
    EXPECT_NEAR(line["loss"], double(line["error"]) + 0.1 * double(line["fooled"]), 1e-5);
    EXPECT_GT(line["judge_loss"], 0);
    EXPECT_GT(line["judge_grad_norm"], 0);
  }
}

TEST(Loop, AnOpponentLearnsFromItsOwnLossAlone) {
  const TemporaryFolder folder;
  Duel duel;
  duel.stage.opponents[0].loss = [](int64_t) { return StepLoss(); };
  const auto before = copies(*duel.judge), player = copies(*duel.player);
  train(duel.stage, duel.options, "", folder.path());
  EXPECT_TRUE(equal(copies(*duel.judge), before));
  EXPECT_FALSE(equal(copies(*duel.player), player));
}

TEST(Loop, AnOpponentResumesBitForBit) {
  const TemporaryFolder folder;
  Duel whole;
  train(whole.stage, whole.options, "", folder.path());
  for (int64_t step : {4, 5, 6})
    std::filesystem::remove(folder / fmt::format("checkpoints/step-{:09}.safetensors", step));
  ASSERT_EQ(newest_checkpoint(folder / "checkpoints")->step, 3);
  Duel resumed;
  train(resumed.stage, resumed.options, "", folder.path());
  EXPECT_TRUE(equal(copies(*whole.judge), copies(*resumed.judge)));
  EXPECT_TRUE(equal(copies(*whole.player), copies(*resumed.player)));
}

TEST(Loop, FirstWeightsAreGivenBeforeTheFirstStepAlone) {
  const TemporaryFolder folder;
  const auto train_to = [&](int64_t step) {
    int given = 0;
    Duel duel;
    duel.options.steps = step;
    duel.options.learning_rate = 0;
    duel.options.ema_decay = 0.5;
    duel.stage.first_weights = [&] {
      ++given;
      const at::NoGradGuard no_grad;
      duel.player->weight.fill_(3);
    };
    train(duel.stage, duel.options, "", folder.path());
    EXPECT_TRUE(at::equal(duel.player->weight, at::full({3, 3}, 3.0f))) << "averaged, too";
    return given;
  };
  EXPECT_EQ(train_to(2), 1);
  EXPECT_EQ(train_to(4), 0);
}

TEST(Loop, ANaNInOneSampleStopsTheRunWithItsId) {
  const TemporaryFolder folder;
  Duel duel;
  const auto loss = duel.stage.loss;
  duel.stage.loss = [&](int64_t batch) {
    auto out = loss(batch);
    if (batch < 3) return out;
    out.inputs[0][2][1] = NAN;
    out.total = out.total * NAN;
    return out;
  };
  try {
    train(duel.stage, duel.options, "", folder.path());
    FAIL() << "went on";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("case c "), std::string::npos) << e.what();
  }
  EXPECT_EQ(newest_checkpoint(folder / "checkpoints")->step, 3);
}

TEST(Loop, AccumulatedBatchesHaveTheGradientOfTheJointOne) {
  const TemporaryFolder one, two;
  Duel joint, parts;
  for (auto* duel : {&joint, &parts}) {
    duel->stage.opponents.clear();
    duel->options.steps = 1;
  }
  const auto data = at::randn({4, 3}, random_stream(2, "data"), at::TensorOptions(at::kFloat));
  joint.stage.loss = [&](int64_t) {
    return StepLoss((joint.player->forward(data) - data).square().mean());
  };
  parts.options.accumulate = 2;
  std::vector<int64_t> batches;
  parts.stage.loss = [&](int64_t batch) {
    batches.push_back(batch);
    const auto x = data.narrow(0, 2 * (batch % 2), 2);
    return StepLoss((parts.player->forward(x) - x).square().mean());
  };
  train(joint.stage, joint.options, "", one.path());
  train(parts.stage, parts.options, "", two.path());
  EXPECT_EQ(batches, (std::vector<int64_t>{0, 0, 1}));  // the first is tried before the start
  EXPECT_NEAR(metrics(one)[0]["grad_norm"], metrics(two)[0]["grad_norm"], 1e-6);
  EXPECT_NEAR(metrics(one)[0]["loss"], metrics(two)[0]["loss"], 1e-6);
}

TEST(Loop, KeepsTheWeightsOfTheBestValidationAndEndsWhenNoneIsBetter) {
  const TemporaryFolder folder;
  Duel duel;
  duel.options.steps = 100;
  duel.options.validate_every = 1;
  duel.options.keep_best = true;
  duel.options.patience = 3;
  duel.options.ema_decay = 0;
  int validations = 0;
  TensorMap best;
  duel.stage.validate = [&]() -> Validation {
    if (++validations == 4) best = copies(*duel.player);
    Validation found(validations == 4 ? 1.0 : 2.0);
    found.terms = {{"psnr", 30.0 + validations}};
    return found;
  };
  EXPECT_TRUE(train(duel.stage, duel.options, "", folder.path()));
  EXPECT_EQ(validations, 7);
  EXPECT_TRUE(equal(copies(*duel.player), best));
  EXPECT_EQ(metrics(folder).back()["val_psnr"], 37.0);
  // The same call again finds that it has ended.
  Duel again;
  again.options = duel.options;
  train(again.stage, again.options, "", folder.path());
  EXPECT_TRUE(equal(copies(*again.player), best));
}

TEST(Loop, WithoutAValidationCaseNothingIsValidatedAndTheTrainingGoesToItsEnd) {
  const TemporaryFolder folder;
  Duel duel;
  duel.stage.validate = {};
  duel.options.validate_every = 1;
  duel.options.keep_best = true;
  duel.options.patience = 1;
  duel.options.ema_decay = 0;
  testing::internal::CaptureStderr();
  EXPECT_TRUE(train(duel.stage, duel.options, "", folder.path()));
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("there is no validation case"), std::string::npos) << told;
  EXPECT_NE(told.find("keep_best and patience do nothing"), std::string::npos) << told;
  const auto lines = metrics(folder);
  ASSERT_EQ(lines.size(), 6u);
  for (const auto& line : lines) EXPECT_FALSE(line.contains("val_loss")) << line;
  // The weights of the last step, not of the first.
  const auto last = newest_checkpoint(folder / "checkpoints");
  EXPECT_TRUE(at::equal(duel.player->weight, last->tensors.at("model.weight")));
  EXPECT_EQ(last->tensors.count("best.weight"), 0u);
}

TEST(Loop, ATrainingThatIsFinishedSaysSo) {
  const TemporaryFolder folder;
  Duel duel, again;
  train(duel.stage, duel.options, "", folder.path());
  testing::internal::CaptureStderr();
  train(again.stage, again.options, "", folder.path());
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("duel: is finished after 6 steps"), std::string::npos) << told;
  EXPECT_NE(told.find("--force"), std::string::npos) << told;
}

TEST(Loop, ForceDoesNotGoOnWithAnotherNetworkAndSaysSo) {
  const TemporaryFolder folder;
  Duel duel, wider;
  train(duel.stage, duel.options, "width: 3\n", folder.path());
  wider.player = torch::nn::Linear(3, 5);
  wider.stage.module = wider.player.get();
  TrainCall call;
  call.force = true;
  try {
    train(wider.stage, wider.options, "width: 5\n", folder.path(), call);
    FAIL() << "went on";
  } catch (const Error& e) {
    const std::string told = e.what();
    EXPECT_NE(told.find("not with another network"), std::string::npos) << told;
    EXPECT_NE(told.find("now:  width: 5"), std::string::npos) << told;
    EXPECT_NE(told.find("another --run folder"), std::string::npos) << told;
  }
}

TEST(Loop, Fp16LeavesOutAStepWhoseGradientOverflows) {
  const TemporaryFolder folder;
  Duel duel;
  duel.options.precision = Precision::fp16;
  duel.stage.opponents.clear();
  const auto loss = duel.stage.loss;
  duel.stage.loss = [&](int64_t batch) {
    auto out = loss(batch);
    // A gradient of 1e37 is finite, times the loss scale of 65536 it is not.
    if (batch == 2)
      out.total =
          out.total + 1e37 * (duel.player->weight.sum() - duel.player->weight.sum().detach());
    return out;
  };
  train(duel.stage, duel.options, "", folder.path());
  const auto lines = metrics(folder);
  EXPECT_TRUE(lines[2].contains("left_out"));
  EXPECT_FALSE(lines[3].contains("left_out"));
  EXPECT_EQ(double(lines[3]["loss_scale"]), double(lines[2]["loss_scale"]) / 2);
}

TEST(Loop, ADryRunWritesNothing) {
  const TemporaryFolder folder;
  Duel duel;
  TrainCall call;
  call.dry_run = true;
  const auto before = copies(*duel.player);
  EXPECT_FALSE(train(duel.stage, duel.options, "", folder.path(), call));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_TRUE(equal(copies(*duel.player), before));
}

}  // namespace
}  // namespace x2ctpa
