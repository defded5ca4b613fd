// What is told of a run while it goes on: the lines of its metrics, validations and pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "training/run_log.h"
#include "training/stopwatch.h"
#include "training/train_state.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/processes.h"

namespace x2ctpa {

class RunReport {
 public:
  /// Of the run in `folder` that goes on from `step`; the stage, options and processes must outlive
  /// it.
  RunReport(const TrainingStage& stage, const TrainOptions& options, const Processes& processes,
            const std::filesystem::path& folder, int64_t step);

  void begin_step();
  /// After a step that is counted: validates and makes pictures when they are due, and logs.
  void end_step(nlohmann::json& line, TrainState& state);
  /// Adds to what the training waited for files since the last line.
  void add_stall(double seconds) { stalled_ += seconds; }

 private:
  bool due(int64_t every, int64_t step) const;
  void average_over_processes(nlohmann::json& line) const;
  /// With the averaged weights, in the first process.
  void look(bool validate, bool preview, nlohmann::json& line, TrainState& state);

  const TrainingStage& stage_;
  const TrainOptions& options_;
  const Processes& processes_;
  RunLog log_;
  Stopwatch since_begin_;
  double waited_ = 0;   // for data, before the step
  double stalled_ = 0;  // by logging and saving, since the last line
};

}  // namespace x2ctpa
