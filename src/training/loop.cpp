#include "x2ctpa/training/loop.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "training/learner.h"
#include "training/plan.h"
#include "training/run_log.h"
#include "x2ctpa/core/autocast.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/kernels/recompute.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/checkpoint.h"

namespace x2ctpa {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Settings that may change from call to call: nothing that is learnt depends on them.
bool changes_nothing(const std::string& line) {
  const size_t from = line.find_first_not_of(' '), to = line.find(':');
  if (from == std::string::npos || to == std::string::npos || to < from) return false;
  const std::string key = line.substr(from, to - from);
  for (const char* free : {"checkpoint_every", "checkpoint_minutes", "keep_checkpoints",
                           "log_every", "preview_every"}) {
    if (key == free) return true;
  }
  return false;
}

// The lines of `now` and `before` that differ, one pair per line.
std::string differences(const std::string& before, const std::string& now) {
  std::istringstream a(before), b(now);
  std::string out, x, y;
  while (true) {
    const bool more_a = bool(std::getline(a, x)), more_b = bool(std::getline(b, y));
    if (!more_a && !more_b) return out;
    if (!more_a) x.clear();
    if (!more_b) y.clear();
    if (x != y && !(changes_nothing(x) && changes_nothing(y)))
      out += fmt::format("\n  then: {}\n  now:  {}", x, y);
  }
}

// What a batch was made of, to be searched when something of it is not finite.
struct Seen {
  std::vector<std::string> cases;
  std::vector<at::Tensor> inputs;
};

// The cases whose input holds a value that is not finite; else all of the batch.
std::string suspects(const Seen& batch) {
  std::vector<std::string> bad;
  for (size_t i = 0; i < batch.cases.size(); ++i) {
    for (const auto& input : batch.inputs) {
      if (at::isfinite(input.select(0, int64_t(i))).all().item<bool>()) continue;
      bad.push_back(batch.cases[i]);
      break;
    }
  }
  if (!bad.empty())
    return fmt::format(" The data of case {} hold values that are not finite.",
                       fmt::join(bad, ", "));
  return batch.cases.empty() ? "" : fmt::format(" The batch: {}.", fmt::join(batch.cases, ", "));
}

c10::ScalarType type_of(const std::string& precision) {
  return precision == "bf16" ? at::kBFloat16 : precision == "fp16" ? at::kHalf : at::kFloat;
}

class Run {
 public:
  Run(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
      std::filesystem::path folder, const TrainCall& call)
      : stage_(stage),
        options_(options),
        call_(call),
        processes_(*call.processes),
        settings_(settings + fmt::format("processes: {}\n", processes_.count())),
        folder_(std::move(folder)),
        checkpoints_(folder_ / "checkpoints"),
        average_(*stage.module, options.ema_decay),
        writer_(checkpoints_, options.keep_checkpoints) {
    const bool decoupled = options.optimiser == "adamw";
    learners_.push_back(std::make_unique<Learner>(
        "", *stage.module, options.learning_rate,
        AdamOptions{options.betas, options.weight_decay, decoupled}, processes_));
    for (const auto& o : stage.opponents) {
      learners_.push_back(std::make_unique<Learner>(o.name + "_", *o.module, o.learning_rate,
                                                    AdamOptions{o.betas, o.weight_decay, decoupled},
                                                    processes_));
    }
    if (options.precision == "fp16") scale_.value = 65536;
  }

  void resume() {
    if (const auto checkpoint = newest_checkpoint(checkpoints_)) {
      const std::string changes = differences(checkpoint->settings, settings_);
      if (!changes.empty() && !call_.force) {
        throw Error(
            fmt::format("{}: the checkpoint of step {} was made with other settings:{}\nUse the "
                        "old settings, another "
                        "--run folder, or --force to go on with the new ones.",
                        folder_.string(), checkpoint->step, changes));
      }
      load(*checkpoint);
      log_info("{}: going on from step {} of {}", stage_.name, step_, options_.steps);
    }
    for (const auto& learner : learners_) learner->broadcast(processes_);
    first_step_ = saved_step_ = step_;
  }

  // Whether it came to the end.
  bool run() {
    if (!finished()) try_batch();
    if (call_.dry_run) return false;
    if (processes_.first()) remove_unfinished(checkpoints_);
    log_ = std::make_unique<RunLog>(folder_, step_, processes_.first());
    Progress progress(stage_.name, options_.steps, step_);
    while (!finished()) {
      const double loss = one_step();
      progress.advance(1, fmt::format("loss {:.4f}", loss));
      const bool stop = processes_.any(interrupt_requested() || out_of_time() || out_of_steps());
      if (stop || finished() || step_ % options_.checkpoint_every == 0 || minutes_are_up()) save();
      if (stop && !finished()) {
        writer_.wait();
        stop_if_interrupted();
        throw Error(fmt::format("{}: stopped at step {} of {}, as --max-steps or --max-hours "
                                "asked; the same command goes on",
                                stage_.name, step_, options_.steps),
                    ExitCode::interrupted);
      }
    }
    writer_.wait();
    if (step_ < options_.steps)
      log_info("{}: no better validation for {} times; ends at step {}", stage_.name, stale_,
               step_);
    take_final_weights();
    return processes_.first();
  }

 private:
  Learner& main() { return *learners_.front(); }
  bool finished() const {
    return step_ >= options_.steps || (options_.patience > 0 && stale_ >= options_.patience);
  }
  bool out_of_steps() const {
    return call_.max_steps > 0 && step_ - first_step_ >= call_.max_steps;
  }
  bool out_of_time() const {
    return call_.max_hours > 0 && seconds_since(start_) > 3600 * call_.max_hours;
  }
  bool minutes_are_up() const {
    return options_.checkpoint_minutes > 0 &&
           seconds_since(saved_at_) > 60 * options_.checkpoint_minutes;
  }
  bool due(int64_t every) const {
    return every > 0 && (step_ % every == 0 || step_ == options_.steps);
  }

  // One batch forth and back, and all as before: what it takes is then known before the start.
  void try_batch() {
    const auto device = stage_.module->parameters().front().device();
    Plan plan{stage_.name, options_, *stage_.module, stage_.opponents, processes_.count(), step_};
    log_info("{}", plan.before());
    stage_.start_at(step_ * options_.accumulate);
    for (const auto& learner : learners_) learner->keep_buffers();
    const auto start = Clock::now();
    try {
      json ignored = json::object();
      gradients(1, ignored);
    } catch (const std::exception& e) {
      fail(e);
    }
    log_info("{}", plan.after(seconds_since(start), device));
    put_back();
    stage_.start_at(step_ * options_.accumulate);
  }

  double one_step() {
    const auto start = Clock::now();
    const double waited = stage_.waited ? stage_.waited() : 0;
    json line = {{"step", step_ + 1}};
    for (const auto& learner : learners_) learner->keep_buffers();
    try {
      gradients(options_.accumulate, line);
      update(line);
      seen_ = {};
      writer_.check();
    } catch (const std::exception& e) {
      fail(e);
    }
    ++step_;
    const double loss = line["loss"];
    const bool validate = due(options_.validate_every) && stage_.validate,
               preview = due(options_.preview_every) && stage_.preview;
    const bool log = step_ % options_.log_every == 0 || validate || step_ == options_.steps;
    if (log) average_over_processes(line);
    line["seconds"] = seconds_since(start);
    if (stage_.waited) line["wait_seconds"] = stage_.waited() - waited;
    if (validate || preview) look(validate, preview, line);
    if (log) {
      line["stall_seconds"] = stalled_;
      const auto writing = Clock::now();
      log_->write(line);
      stalled_ = seconds_since(writing);
    }
    return loss;
  }

  // Adds up the gradients of the step's batches; means of their losses go to `line`.
  void gradients(int64_t batches, json& line) {
    const auto device = stage_.module->parameters().front().device().type();
    for (const auto& learner : learners_) learner->module.train();
    for (int64_t k = 0; k < batches; ++k) {
      const int64_t batch =
          (step_ * options_.accumulate + k) * processes_.count() + processes_.rank();
      const bool last = k + 1 == batches && !call_.dry_run;
      for (size_t i = 0; i < learners_.size(); ++i) {
        for (size_t o = 1; o < learners_.size(); ++o) learners_[o]->need_gradients(i == o);
        StepLoss loss;
        {
          const Autocast precision(device, type_of(options_.precision));
          const RecomputeActivations recompute(options_.recompute);
          loss = i == 0 ? stage_.loss(batch) : stage_.opponents[i - 1].loss(batch);
        }
        if (loss.total.defined()) differentiate(*learners_[i], loss, batches, last, line);
      }
    }
  }

  void differentiate(Learner& learner, const StepLoss& loss, int64_t batches, bool last,
                     json& line) {
    const auto add = [&](const std::string& name, double value) {
      const std::string key = learner.prefix + name;
      line[key] = line.value(key, 0.0) + value / double(batches);
    };
    const double value = loss.total.item<double>();
    std::string bad;
    for (const auto& [name, term] : loss.terms) {
      const double part = term.item<double>();
      if (!std::isfinite(part))
        bad += (bad.empty() ? " Its terms that are not finite: " : ", ") + name;
      add(name, part);
    }
    add("loss", value);
    if (!std::isfinite(value)) {
      throw Error(
          fmt::format("the {}loss of step {} is {}.{}{}{} Mend or leave out such data; if they are "
                      "sound, lower the "
                      "learning rate.",
                      learner.prefix, step_, value, bad.empty() ? "" : bad + ".",
                      suspects({loss.cases, loss.inputs}), learner.not_finite()));
    }
    if (!loss.cases.empty()) seen_ = {loss.cases, loss.inputs};
    learner.differentiate(loss.total * (scale_.value / double(batches)), last);
  }

  void update(json& line) {
    std::vector<double> norms;
    bool finite = true;
    for (const auto& learner : learners_) {
      norms.push_back(learner->optimiser.gradient_norm() / scale_.value);
      finite = finite && std::isfinite(norms.back());
    }
    const double share = schedule_at(options_, step_);
    line["lr"] = share * options_.learning_rate;
    if (options_.precision == "fp16") line["loss_scale"] = scale_.value;
    if (!finite) return leave_out(line);
    for (size_t i = 0; i < learners_.size(); ++i) {
      line[learners_[i]->prefix + "grad_norm"] = norms[i];
      const double clip =
          options_.clip_norm > 0 ? std::max(1.0, (norms[i] + 1e-6) / options_.clip_norm) : 1;
      learners_[i]->optimiser.step(share * learners_[i]->learning_rate, clip * scale_.value);
    }
    if (options_.ema_decay > 0) average_.update();
    if (options_.precision == "fp16") scale_.update(false);
  }

  // A gradient that is not finite: fp16 may overflow now and then, all else is an error.
  void leave_out(json& line) {
    std::string bad;
    for (const auto& learner : learners_) bad += learner->not_finite();
    if (options_.precision != "fp16" || scale_.value <= 1) {
      throw Error(
          fmt::format("the gradient of step {} is not finite.{}{} Lower the learning rate, or use "
                      "train.precision fp32.",
                      step_, bad, suspects(seen_)));
    }
    scale_.update(true);
    line["left_out"] = 1;
    for (const auto& learner : learners_) learner->optimiser.forget_gradients();
  }

  void average_over_processes(json& line) const {
    if (processes_.alone()) return;
    std::vector<double> values;
    for (const auto& [name, value] : line.items()) values.push_back(value.get<double>());
    at::Tensor sum = at::tensor(values, at::kDouble);
    processes_.sum(sum);
    int64_t i = 0;
    for (auto item : line.items()) {
      const double mean = sum[i++].item<double>() / double(processes_.count());
      if (item.key() != "step") item.value() = mean;
    }
  }

  // Validation and previews with the averaged weights, in the first process.
  void look(bool validate, bool preview, json& line) {
    main().module.eval();
    if (options_.ema_decay > 0) average_.swap();
    if (validate) {
      at::Tensor score = at::zeros({1}, at::kDouble);
      if (processes_.first()) {
        const Validation found = stage_.validate();
        score.fill_(found.score);
        line["val_loss"] = found.score;
        for (const auto& [name, value] : found.terms) line["val_" + name] = value;
      }
      processes_.broadcast(score);
      judge(score.item<double>());
    }
    if (preview && processes_.first()) log_->write(step_, stage_.preview());
    if (options_.ema_decay > 0) average_.swap();
  }

  void judge(double score) {
    if (!(score < best_score_)) {
      ++stale_;
      return;
    }
    best_score_ = score;
    stale_ = 0;
    if (!options_.keep_best || !processes_.first()) return;
    best_.clear();
    for (const auto& [name, tensor] : named_tensors(main().module))
      best_[name] = tensor.detach().clone();
  }

  void take_final_weights() {
    main().module.eval();
    if (options_.keep_best && !best_.empty())
      load_tensors(main().module, best_, "the best weights");
    else if (options_.ema_decay > 0)
      average_.apply();
  }

  // The state before the step that failed is saved, and the error told.
  [[noreturn]] void fail(const std::exception& cause) {
    const Error error = translate_exception(cause, stage_.name);
    put_back();
    std::string text = error.what();
    if (error.code() == ExitCode::out_of_memory) text += advice(options_);
    if (text.rfind(stage_.name, 0) != 0) text = stage_.name + ": " + text;
    try {
      if (step_ > saved_step_) save();
      writer_.wait();
    } catch (const std::exception& e) {
      if (text.find(e.what()) == std::string::npos)
        text += fmt::format(" The state before it could not be saved: {}.", e.what());
    }
    if (saved_step_ > 0)
      text += fmt::format(" The state after step {} is in {}; the same command goes on from there.",
                          saved_step_, checkpoints_.string());
    throw Error(text, error.code());
  }

  void put_back() {
    for (const auto& learner : learners_) {
      learner->optimiser.forget_gradients();
      learner->restore_buffers();
    }
  }

  void save() {
    saved_at_ = Clock::now();
    if (!processes_.first()) return;
    Checkpoint checkpoint{step_, settings_, {}};
    for (const auto& learner : learners_) learner->save(checkpoint.tensors);
    if (options_.ema_decay > 0) average_.save(checkpoint.tensors, "ema");
    for (const auto& [name, tensor] : best_) checkpoint.tensors["best." + name] = tensor;
    checkpoint.tensors["loop"] = at::tensor(
        {best_score_, double(stale_), scale_.value, double(scale_.good_steps)}, at::kDouble);
    writer_.start(checkpoint);
    saved_step_ = step_;
    stalled_ += seconds_since(saved_at_);
  }

  void load(const Checkpoint& checkpoint) {
    for (const auto& learner : learners_) learner->load(checkpoint.tensors, checkpoints_.string());
    if (options_.ema_decay > 0) average_.load(checkpoint.tensors, "ema");
    for (const auto& [name, tensor] : checkpoint.tensors) {
      if (name.rfind("best.", 0) == 0) best_[name.substr(5)] = tensor.clone();
    }
    const auto found = checkpoint.tensors.find("loop");
    if (found != checkpoint.tensors.end() && found->second.numel() == 4) {
      const auto* state = found->second.const_data_ptr<double>();
      best_score_ = state[0];
      stale_ = int64_t(state[1]);
      if (options_.precision == "fp16") scale_ = {state[2], int64_t(state[3])};
    }
    step_ = checkpoint.step;
  }

  const TrainingStage& stage_;
  const TrainOptions& options_;
  const TrainCall& call_;
  const Processes& processes_;
  const std::string settings_;
  const std::filesystem::path folder_, checkpoints_;
  std::vector<std::unique_ptr<Learner>> learners_;  // the stage's own, then the opponents'
  WeightAverage average_;
  CheckpointWriter writer_;
  std::unique_ptr<RunLog> log_;
  LossScale scale_;
  Seen seen_;  // of the last batch
  TensorMap best_;
  double best_score_ = std::numeric_limits<double>::infinity();
  int64_t stale_ = 0;  // validations since the best
  int64_t step_ = 0, first_step_ = 0, saved_step_ = 0;
  double stalled_ = 0;  // seconds that logging and saving took since the last line of metrics
  const Clock::time_point start_ = Clock::now();
  Clock::time_point saved_at_ = Clock::now();
};

}  // namespace

bool train(const TrainingStage& stage, const TrainOptions& options, const std::string& settings,
           const std::filesystem::path& folder, const TrainCall& call) {
  Run run(stage, options, settings, folder, call);
  run.resume();
  return run.run();
}

}  // namespace x2ctpa
