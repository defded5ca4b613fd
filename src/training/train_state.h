// What a training holds between two steps; a checkpoint is this on the disk.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "training/learner.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/optimiser.h"
#include "x2ctpa/training/processes.h"

namespace x2ctpa {

class TrainState {
 public:
  /// All three must outlive it.
  TrainState(const TrainingStage& stage, const TrainOptions& options, const Processes& processes);

  /// The stage's own learner; those of its opponents come behind it in `learners`.
  Learner& main() { return *learners.front(); }
  /// All steps are taken, or too many validations were no better.
  bool finished() const;

  /// Everything as in the first process.
  void broadcast();

  /// Keeps the buffers before a step; afterwards put_back() undoes what the step did before its
  /// update.
  void keep_buffers();
  void put_back();

  /// Takes the averaged weights, or gives them back: a second call undoes the first.
  void swap_average();
  /// Counts a validation, and keeps its weights when it is the best and options.keep_best.
  void judge(double score);
  /// The weights that the training is for: the best, or the averaged, or those of the last step.
  void take_final_weights();

  TensorMap tensors() const;
  void load(const TensorMap& tensors, const std::string& source);

  int64_t step = 0;       ///< steps done
  int64_t stale = 0;      ///< validations since the best
  LossScale loss_scale;   ///< 1 unless the precision is fp16
  WeightAverage average;  ///< of the stage's module
  std::vector<std::unique_ptr<Learner>> learners;

 private:
  const TrainOptions& options_;
  const Processes& processes_;
  TensorMap best_;
  double best_score_ = std::numeric_limits<double>::infinity();
};

}  // namespace x2ctpa
