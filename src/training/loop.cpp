#include "x2ctpa/training/loop.h"

#include <cmath>
#include <chrono>
#include <nlohmann/json.hpp>
#include <numbers>
#include <sstream>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/checkpoint.h"
#include "x2ctpa/training/optimiser.h"

namespace x2ctpa {

void TrainOptions::describe(OptionList& options) {
  options.add("steps", &steps, "Optimiser steps of the whole training.", {.min = 1});
  options.add("batch_size", &batch_size, "Cases per step.", {.min = 1});
  options.add("learning_rate", &learning_rate, "Highest learning rate.", {.min = 0});
  options.add("schedule", &schedule, "Course of the learning rate; one-cycle: linear warm-up, then cosine to 0.",
              {.choices = {"constant", "one-cycle"}});
  options.add("warmup_fraction", &warmup_fraction, "Share of the steps that warm up.", {.min = 0, .max = 1});
  options.add("betas", &betas, "AdamW's averaging factors.", {.min = 0, .max = 1, .count = 2});
  options.add("weight_decay", &weight_decay, "AdamW's decoupled weight decay.", {.min = 0});
  options.add("clip_norm", &clip_norm, "Largest joint norm of the gradients; 0: no limit.", {.min = 0});
  options.add("ema_decay", &ema_decay, "Decay of the weights' moving average; 0: none.", {.min = 0, .max = 1});
  options.add("validate_every", &validate_every, "Steps between validations; 0: none.", {.min = 0});
  options.add("checkpoint_every", &checkpoint_every, "Steps between checkpoints.", {.min = 1});
  options.add("keep_checkpoints", &keep_checkpoints, "Newest checkpoints kept.", {.min = 1});
  options.add("log_every", &log_every, "Steps between lines of metrics.jsonl.", {.min = 1});
}

double learning_rate_at(const TrainOptions& options, int64_t step) {
  if (options.schedule == "constant") return options.learning_rate;
  const double warm = std::max(1.0, options.warmup_fraction * double(options.steps));
  if (double(step) < warm) return options.learning_rate * double(step + 1) / warm;
  const double done = (double(step) - warm) / std::max(1.0, double(options.steps) - warm);
  return options.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

namespace {

/// The lines of `now` and `before` that differ, one pair per line.
std::string differences(const std::string& before, const std::string& now) {
  std::istringstream a(before), b(now);
  std::string out, x, y;
  while (true) {
    const bool more_a = bool(std::getline(a, x)), more_b = bool(std::getline(b, y));
    if (!more_a && !more_b) return out;
    if (!more_a) x.clear();
    if (!more_b) y.clear();
    if (x != y) out += fmt::format("\n  then: {}\n  now:  {}", x, y);
  }
}

class Run {
 public:
  Run(const TrainingStage& stage, const TrainOptions& options, const std::string& settings, std::filesystem::path folder)
      : stage_(stage), options_(options), settings_(settings), folder_(std::move(folder)),
        optimiser_(stage.module->parameters(), options.betas.at(0), options.betas.at(1), options.weight_decay),
        average_(*stage.module, options.ema_decay) {}

  void resume(bool force) {
    const auto checkpoint = newest_checkpoint(folder_ / "checkpoints");
    if (!checkpoint) return;
    if (checkpoint->settings != settings_ && !force) {
      throw Error(fmt::format("{}: the checkpoint of step {} was made with other settings:{}\nUse the old settings, another "
                              "--run folder, or --force to go on with the new ones.",
                              folder_.string(), checkpoint->step, differences(checkpoint->settings, settings_)));
    }
    TensorMap weights;
    for (const auto& [name, tensor] : checkpoint->tensors) {
      if (name.rfind("model.", 0) == 0) weights[name.substr(6)] = tensor;
    }
    load_tensors(*stage_.module, weights, (folder_ / "checkpoints").string());
    optimiser_.load(checkpoint->tensors, "optimiser");
    if (options_.ema_decay > 0) average_.load(checkpoint->tensors, "ema");
    step_ = checkpoint->step;
    forget_later_metrics();
    log_info("{}: going on from step {} of {}", stage_.name, step_, options_.steps);
  }

  void run() {
    const int64_t first = step_;
    stage_.start_at(step_);
    Progress progress(stage_.name, options_.steps, first);
    while (step_ < options_.steps) {
      const double loss = one_step();
      if (step_ % options_.checkpoint_every == 0) save();
      progress.advance(1, fmt::format("loss {:.4f}", loss));
      if (interrupt_requested()) {
        save();
        stop_if_interrupted();
      }
    }
    if (step_ > first) save();
    stage_.module->eval();
    if (options_.ema_decay > 0) average_.apply();
  }

 private:
  double one_step() {
    const auto start = std::chrono::steady_clock::now();
    stage_.module->train();
    const at::Tensor loss = stage_.loss(step_);
    const double value = loss.item<double>();
    if (!std::isfinite(value)) {
      throw Error(fmt::format("{}: the loss of step {} is {}. The last checkpoint in {} is whole; lower the learning rate.",
                              stage_.name, step_, value, (folder_ / "checkpoints").string()));
    }
    loss.backward();
    const double rate = learning_rate_at(options_, step_);
    const double norm = optimiser_.clip(options_.clip_norm);
    if (!std::isfinite(norm)) {
      throw Error(fmt::format("{}: the gradient of step {} is not finite. The last checkpoint in {} is whole.", stage_.name,
                              step_, (folder_ / "checkpoints").string()));
    }
    optimiser_.step(rate);
    if (options_.ema_decay > 0) average_.update();
    ++step_;
    log_step(value, rate, norm, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return value;
  }

  /// Lines of steps that will be taken again, so that no step is logged twice.
  void forget_later_metrics() const {
    const auto file = folder_ / "metrics.jsonl";
    if (!std::filesystem::exists(file)) return;
    std::istringstream lines(read_file(file));
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (entry.is_object() && entry.value("step", step_ + 1) <= step_) kept += line + "\n";
    }
    write_file(file, kept);
  }

  void log_step(double loss, double rate, double norm, double seconds) {
    const bool validate = options_.validate_every > 0 && (step_ % options_.validate_every == 0 || step_ == options_.steps);
    if (step_ % options_.log_every != 0 && !validate && step_ != options_.steps) return;
    nlohmann::json line = {{"step", step_}, {"loss", loss}, {"lr", rate}, {"grad_norm", norm}, {"seconds", seconds}};
    if (validate && stage_.validate) {
      stage_.module->eval();
      if (options_.ema_decay > 0) average_.swap();
      line["val_loss"] = stage_.validate();
      if (options_.ema_decay > 0) average_.swap();
    }
    append_line(folder_ / "metrics.jsonl", line.dump());
  }

  void save() {
    Checkpoint checkpoint{step_, settings_, {}};
    for (const auto& [name, tensor] : named_tensors(*stage_.module)) checkpoint.tensors["model." + name] = tensor;
    optimiser_.save(checkpoint.tensors, "optimiser");
    if (options_.ema_decay > 0) average_.save(checkpoint.tensors, "ema");
    write_checkpoint(folder_ / "checkpoints", checkpoint, options_.keep_checkpoints);
  }

  const TrainingStage& stage_;
  const TrainOptions& options_;
  const std::string& settings_;
  std::filesystem::path folder_;
  AdamW optimiser_;
  WeightAverage average_;
  int64_t step_ = 0;
};

}  // namespace

void train(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
           const std::filesystem::path& folder, bool force) {
  Run run(stage, options, settings, folder);
  run.resume(force);
  run.run();
}

}  // namespace x2ctpa
