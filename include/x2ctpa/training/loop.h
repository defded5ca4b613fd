// The training loop: batches, gradients, optimiser, averages, logs, validation, checkpoints, signals.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <string>

#include "x2ctpa/core/options.h"
#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

struct TrainOptions {
  int64_t steps = 100000;
  int64_t batch_size = 2;
  double learning_rate = 3e-4;
  std::string schedule = "one-cycle";
  double warmup_fraction = 0.1;
  std::vector<double> betas{0.9, 0.999};
  double weight_decay = 0.01;
  double clip_norm = 1.0;
  double ema_decay = 0.995;
  int64_t validate_every = 1000;
  int64_t checkpoint_every = 1000;
  int64_t keep_checkpoints = 2;
  int64_t log_every = 10;

  void describe(OptionList& options);
};

/// Learning rate of `step` (0-based): "constant"; or "one-cycle": linear warm-up, then cosine to 0.
double learning_rate_at(const TrainOptions& options, int64_t step);

/// What one training stage supplies. `module` holds every parameter that is trained.
///
/// Every random number of step n must come from a stream named by n, and the batch of step n must
/// follow from n: then a resumed run equals an undisturbed one bit for bit without further state.
struct TrainingStage {
  std::string name;                                 ///< for logs
  torch::nn::Module* module = nullptr;
  std::function<void(int64_t step)> start_at;       ///< moves the data to the batch of `step`
  std::function<at::Tensor(int64_t step)> loss;     ///< the scalar loss of the next batch
  std::function<double()> validate;                 ///< a number to log; lower is better
  std::function<void(double)> report;               ///< optional: called with the loss of a logged step
};

/// Trains `stage` to options.steps, going on from the newest valid checkpoint in
/// `folder`/checkpoints. Afterwards the module holds the averaged weights (its own when ema_decay is
/// 0). Appends {"step", "loss", "lr", "grad_norm", "val_loss", "seconds"} to `folder`/metrics.jsonl.
/// `settings` is the text of everything that shapes the run; a checkpoint made under other settings
/// is refused with the differing lines unless `force`.
/// Throws Error for a loss that is not finite (the last checkpoint stays), and
/// Error(interrupted) after a signal, when a checkpoint was written.
void train(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
           const std::filesystem::path& folder, bool force = false);

}  // namespace x2ctpa
