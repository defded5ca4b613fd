// The checkpoints of one run: what it goes on from, and when the next one is due.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "training/stopwatch.h"
#include "training/train_state.h"
#include "x2ctpa/training/checkpoint.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

class RunCheckpoints {
 public:
  /// Below `folder`, the run's. `settings`: of the run, as train() takes them.
  RunCheckpoints(std::filesystem::path folder, const std::string& settings,
                 const TrainOptions& options, const Processes& processes);

  /// The newest checkpoint, if there is one. Throws Error with the differing lines when it was made
  /// under other settings, unless `force`.
  std::optional<Checkpoint> newest(bool force) const;
  /// Brings `state` to `checkpoint`, the newest.
  void resume(TrainState& state, const Checkpoint& checkpoint);

  /// Whether `step`, just done, or the time since the last one asks for a checkpoint.
  bool due(int64_t step) const;
  /// Begins to write `state`, in the first process; the seconds that the training waited for it.
  double save(const TrainState& state);
  /// As CheckpointWriter's.
  void wait() { writer_.wait(); }
  void check() { writer_.check(); }

  /// Removes what writers that were killed left half-written.
  void remove_unfinished() const;

  const std::filesystem::path& folder() const { return folder_; }
  /// The step of the newest one, or that with which this call began.
  int64_t saved_step() const { return saved_step_; }

 private:
  const TrainOptions& options_;
  const Processes& processes_;
  const std::string settings_;
  const std::filesystem::path run_, folder_;
  CheckpointWriter writer_;
  int64_t saved_step_ = 0;
  Stopwatch since_saved_;
};

}  // namespace x2ctpa
