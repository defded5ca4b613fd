// One step of a training: the gradients of its batches, then the update of all that learn.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "training/train_state.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/processes.h"

namespace x2ctpa {

class TrainingStep {
 public:
  /// All must outlive it.
  TrainingStep(const TrainingStage& stage, const TrainOptions& options, const TrainCall& call,
               TrainState& state);

  /// One batch forth and back, without an update; state.put_back() takes its gradients away.
  void try_batch();

  /// A step but for the count of it. The losses and their terms, the learning rate and the norms of
  /// the gradients go to `line`. Throws Error for a loss or a gradient that is not finite.
  void take(nlohmann::json& line);

 private:
  /// What a batch was made of, to be searched when something of it is not finite.
  struct Seen {
    std::vector<std::string> cases;
    std::vector<at::Tensor> inputs;
  };
  static std::string suspects(const Seen& batch);

  /// Adds up the gradients of so many batches; means of their losses go to `line`.
  void gradients(int64_t batches, nlohmann::json& line);
  void differentiate(Learner& learner, const StepLoss& loss, int64_t batches, bool last,
                     nlohmann::json& line);
  void update(nlohmann::json& line);
  /// A gradient that is not finite: fp16 may overflow now and then, all else is an error.
  void leave_out(nlohmann::json& line);

  const TrainingStage& stage_;
  const TrainOptions& options_;
  const TrainCall& call_;
  TrainState& state_;
  Seen seen_;  // of the last batch
};

}  // namespace x2ctpa
