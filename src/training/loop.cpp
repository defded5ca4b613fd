#include "x2ctpa/training/loop.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "training/plan.h"
#include "training/run_checkpoints.h"
#include "training/run_report.h"
#include "training/stopwatch.h"
#include "training/train_state.h"
#include "training/training_step.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

class Run {
 public:
  Run(const TrainingStage& stage, const TrainOptions& options, const std::filesystem::path& folder,
      const TrainCall& call, RunCheckpoints& checkpoints)
      : stage_(stage),
        options_(options),
        call_(call),
        processes_(*call.processes),
        folder_(folder),
        state_(stage, options, processes_),
        checkpoints_(checkpoints),
        step_(stage, options, call, state_) {}

  // `from`: the checkpoint to go on from, if there is one.
  void resume(std::optional<Checkpoint> from) {
    if (from) checkpoints_.resume(state_, *from);
    if (state_.finished())
      log_info(
          "{}: is finished{}; there is nothing left to train. For more steps give a larger "
          "train.steps with --force",
          stage_.name, how_it_ended());
    else if (state_.step > 0)
      log_info("{}: going on from step {} of {}", stage_.name, state_.step, options_.steps);
    if (!state_.finished() && !stage_.validate && processes_.first()) tell_no_validation();
    state_.broadcast();
    first_step_ = state_.step;
  }

  // Whether it came to the end.
  bool run() {
    if (!state_.finished()) try_batch();
    if (call_.dry_run) return false;
    checkpoints_.remove_unfinished();
    report_ = std::make_unique<RunReport>(stage_, options_, processes_, folder_, state_.step);
    Progress progress(stage_.name, options_.steps, state_.step);
    while (!state_.finished()) {
      const double loss = one_step();
      progress.advance(1, fmt::format("loss {:.4f}", loss));
      const bool stop = processes_.any(interrupt_requested() || out_of_time() || out_of_steps());
      if (stop || state_.finished() || checkpoints_.due(state_.step))
        report_->add_stall(checkpoints_.save(state_));
      if (stop && !state_.finished()) end_early();
    }
    checkpoints_.wait();
    if (state_.step > first_step_) log_info("{}: finished{}", stage_.name, how_it_ended());
    state_.take_final_weights();
    return processes_.first();
  }

 private:
  std::string how_it_ended() const {
    if (state_.step >= options_.steps) return " after " + counted(state_.step, "step");
    return fmt::format(" at step {}: no better validation {}", state_.step,
                       state_.stale == 1 ? "once" : fmt::format("for {} times", state_.stale));
  }

  void tell_no_validation() const {
    const bool wanted = options_.keep_best || options_.patience > 0;
    log_warning("{}: there is no validation case: nothing is validated{}", stage_.name,
                wanted ? ", keep_best and patience do nothing, and the weights of the last step "
                         "count"
                       : "");
  }

  bool out_of_steps() const {
    return call_.max_steps > 0 && state_.step - first_step_ >= call_.max_steps;
  }
  bool out_of_time() const {
    return call_.max_hours > 0 && since_start_.seconds() > 3600 * call_.max_hours;
  }

  // One batch forth and back, and all as before: what it takes is then known before the start.
  void try_batch() {
    const auto device = stage_.module->parameters().front().device();
    const Plan plan{stage_.name,      options_,           *stage_.module,
                    stage_.opponents, processes_.count(), state_.step};
    log_info("{}", plan.before());
    stage_.start_at(state_.step * options_.accumulate);
    state_.keep_buffers();
    const Stopwatch trying;
    try {
      step_.try_batch();
    } catch (const std::exception& e) {
      fail(e);
    }
    log_info("{}", plan.after(trying.seconds(), device));
    state_.put_back();
    stage_.start_at(state_.step * options_.accumulate);
  }

  double one_step() {
    nlohmann::json line = {{"step", state_.step + 1}};
    report_->begin_step();
    state_.keep_buffers();
    try {
      step_.take(line);
      checkpoints_.check();
    } catch (const std::exception& e) {
      fail(e);
    }
    ++state_.step;
    const double loss = line["loss"];
    report_->end_step(line, state_);
    return loss;
  }

  [[noreturn]] void end_early() {
    checkpoints_.wait();
    stop_if_interrupted();
    throw Error(fmt::format("{}: stopped at step {} of {}, as --max-steps or --max-hours asked; "
                            "the same command goes on",
                            stage_.name, state_.step, options_.steps),
                ExitCode::interrupted);
  }

  // The state before the step that failed is saved, and the error told.
  [[noreturn]] void fail(const std::exception& cause) {
    const Error error = translate_exception(cause, stage_.name);
    state_.put_back();
    std::string text = error.what();
    if (error.code() == ExitCode::out_of_memory) text += advice(options_);
    if (text.rfind(stage_.name, 0) != 0) text = stage_.name + ": " + text;
    try {
      if (state_.step > checkpoints_.saved_step()) checkpoints_.save(state_);
      checkpoints_.wait();
    } catch (const std::exception& e) {
      if (text.find(e.what()) == std::string::npos)
        text += fmt::format(" The state before it could not be saved: {}.", e.what());
    }
    if (checkpoints_.saved_step() > 0)
      text += fmt::format(" The state after step {} is in {}; the same command goes on from there.",
                          checkpoints_.saved_step(), checkpoints_.folder().string());
    throw Error(text, error.code());
  }

  const TrainingStage& stage_;
  const TrainOptions& options_;
  const TrainCall& call_;
  const Processes& processes_;
  const std::filesystem::path folder_;
  TrainState state_;
  RunCheckpoints& checkpoints_;
  TrainingStep step_;
  std::unique_ptr<RunReport> report_;
  int64_t first_step_ = 0;  // of this call
  Stopwatch since_start_;
};

}  // namespace

bool train(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
           const std::filesystem::path& folder, const TrainCall& call) {
  RunCheckpoints checkpoints(folder, settings, options, *call.processes);
  auto from = checkpoints.newest(call.force);
  // The run copies the weights, for their average.
  if (!from && stage.first_weights) stage.first_weights();
  Run run(stage, options, folder, call, checkpoints);
  run.resume(std::move(from));
  return run.run();
}

}  // namespace x2ctpa
