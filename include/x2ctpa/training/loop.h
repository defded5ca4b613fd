// The training loop: batches, gradients, optimiser, averages, logs, validation, checkpoints,
// signals.
#pragma once

#include <torch/nn/module.h>

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/training/processes.h"

namespace x2ctpa {

/// Course of the learning rate. constant; warm-up: linear, then constant; cosine: from 1 to 0;
/// one-cycle: linear warm-up, then cosine to 0.
enum class LearningRateCourse { constant, warm_up, cosine, one_cycle };
constexpr auto words(LearningRateCourse) {
  return std::array{"constant", "warm-up", "cosine", "one-cycle"};
}

enum class OptimiserKind { adam, adamw };
constexpr auto words(OptimiserKind) { return std::array{"adam", "adamw"}; }

struct TrainOptions {
  int64_t steps = 100000;
  int64_t batch_size = 2;
  int64_t accumulate = 1;
  double learning_rate = 3e-4;
  LearningRateCourse schedule = LearningRateCourse::one_cycle;
  double warmup_fraction = 0.1;
  OptimiserKind optimiser = OptimiserKind::adamw;
  std::vector<double> betas{0.9, 0.999};
  double weight_decay = 0.01;
  double clip_norm = 1.0;
  double ema_decay = 0.995;
  Precision precision = Precision::fp32;
  bool recompute = false;
  int64_t validate_every = 1000;
  bool keep_best = false;
  int64_t patience = 0;
  int64_t preview_every = 1000;
  int64_t checkpoint_every = 1000;
  double checkpoint_minutes = 30;
  int64_t keep_checkpoints = 2;
  int64_t log_every = 10;

  void describe(OptionList& options);
};

/// How far one call goes; nothing of it changes what is learnt.
struct TrainCall {
  bool force = false;     ///< go on from a checkpoint of other settings
  bool dry_run = false;   ///< print the plan, try one batch, train nothing
  int64_t max_steps = 0;  ///< of this call; 0: to the end
  double max_hours = 0;   ///< of this call; 0: to the end
  std::shared_ptr<Processes> processes = std::make_shared<Processes>();
};

/// The share of the highest learning rate at `step` (0-based), 0 to 1.
double schedule_at(const TrainOptions& options, int64_t step);

/// The loss of one batch.
struct StepLoss {
  StepLoss() = default;
  StepLoss(at::Tensor total) : total(std::move(total)) {}

  at::Tensor total;                                         ///< scalar; its gradient trains
  std::vector<std::pair<std::string, at::Tensor>> terms{};  ///< its parts, for the log; scalars
  std::vector<std::string> cases{};                         ///< ids, for messages
  std::vector<at::Tensor> inputs{};  ///< (B, ...) each; searched for values that are not finite
};

/// What a validation found.
struct Validation {
  Validation(double score) : score(score) {}

  double score;                                         ///< lower is better
  std::vector<std::pair<std::string, double>> terms{};  ///< more for the log
};

/// A module trained against the stage's, such as a discriminator, with an optimiser of its own.
/// While the stage's loss is computed, its parameters need no gradient.
struct Opponent {
  std::string name;
  torch::nn::Module* module = nullptr;
  double learning_rate = 1e-4;  ///< highest; it follows the schedule of the main one
  std::vector<double> betas{0.5, 0.9};
  double weight_decay = 0;
  /// Its loss of the batch that the stage's loss was just computed of; before either is updated. An
  /// undefined total: it does not learn at this step.
  std::function<StepLoss(int64_t batch)> loss;
};

/// A picture for a person to look at: the bytes of a grey PNG file.
struct Picture {
  std::string name;
  std::string png;
};

/// What one training stage supplies. `module` holds every parameter that is trained (that needs a
/// gradient), but for those of opponents.
///
/// Every random number of batch n must come from a stream named by n, and what the batch holds must
/// follow from n: then a resumed run equals an undisturbed one bit for bit without further state.
/// Process r of w takes the batches r, r + w, r + 2 w, ...; a step takes `accumulate` in each.
struct TrainingStage {
  std::string name;  ///< for logs
  torch::nn::Module* module = nullptr;
  std::vector<Opponent> opponents{};
  /// Gives the module its first weights; not called where a checkpoint is gone on from.
  std::function<void()> first_weights{};
  std::function<void(int64_t count)> start_at;  ///< `count` batches of this process are done
  std::function<StepLoss(int64_t batch)>
      loss;  ///< of this process's next batch, whose number is `batch`
  /// Of the module in evaluation mode, averaged weights; empty where there is no validation case:
  /// then nothing is validated, and that is said.
  std::function<Validation()> validate;
  std::function<std::vector<Picture>()> preview{};  ///< of fixed validation cases; as validate()
  std::function<double()> waited{};                 ///< seconds spent waiting for data so far
};

/// Trains `stage` to options.steps, going on from the newest valid checkpoint in
/// `folder`/checkpoints. Afterwards the module holds the averaged weights (its own when ema_decay
/// is 0), or with options.keep_best those of the best validation. Returns true in the one process
/// that is to write the results; false in the others and after a dry run.
///
/// Appends {"step", "loss", "<term>"..., "<opponent>_loss", "<opponent>_<term>"..., "lr",
/// "grad_norm",
/// "<opponent>_grad_norm", "val_loss", "val_<term>"..., "seconds", "wait_seconds"} to
/// `folder`/metrics.jsonl, the same to `folder`/tensorboard, and pictures to `folder`/previews.
///
/// `settings` is the text of everything that shapes the run; a checkpoint made under other settings
/// is refused with the differing lines unless call.force.
/// Throws Error for a loss or gradient that is not finite, and for any error of the stage, after
/// the state before that step was saved; Error(interrupted) after a signal or when the limits of
/// `call` are reached, when a checkpoint was written.
bool train(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
           const std::filesystem::path& folder, const TrainCall& call = {});

}  // namespace x2ctpa
