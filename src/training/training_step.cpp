#include "training/training_step.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "x2ctpa/core/autocast.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa {
namespace {

using nlohmann::json;

c10::ScalarType type_of(Precision precision) {
  return precision == Precision::bf16   ? at::kBFloat16
         : precision == Precision::fp16 ? at::kHalf
                                        : at::kFloat;
}

}  // namespace

TrainingStep::TrainingStep(const TrainingStage& stage, const TrainOptions& options,
                           const TrainCall& call, TrainState& state)
    : stage_(stage), options_(options), call_(call), state_(state) {}

void TrainingStep::try_batch() {
  json ignored = json::object();
  gradients(1, ignored);
}

void TrainingStep::take(json& line) {
  gradients(options_.accumulate, line);
  update(line);
  seen_ = {};
}

// The cases whose input holds a value that is not finite; else all of the batch.
std::string TrainingStep::suspects(const Seen& batch) {
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

void TrainingStep::gradients(int64_t batches, json& line) {
  const Processes& processes = *call_.processes;
  const auto& learners = state_.learners;
  const auto device = stage_.module->parameters().front().device().type();
  for (const auto& learner : learners) learner->module.train();
  for (int64_t k = 0; k < batches; ++k) {
    const int64_t batch =
        (state_.step * options_.accumulate + k) * processes.count() + processes.rank();
    const bool last = k + 1 == batches && !call_.dry_run;
    for (size_t i = 0; i < learners.size(); ++i) {
      for (size_t o = 1; o < learners.size(); ++o) learners[o]->need_gradients(i == o);
      StepLoss loss;
      {
        const Autocast precision(device, type_of(options_.precision));
        const RecomputeActivations recompute(options_.recompute);
        loss = i == 0 ? stage_.loss(batch) : stage_.opponents[i - 1].loss(batch);
      }
      if (loss.total.defined()) differentiate(*learners[i], loss, batches, last, line);
    }
  }
}

void TrainingStep::differentiate(Learner& learner, const StepLoss& loss, int64_t batches, bool last,
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
    throw Error(fmt::format(
        "the {}loss of step {} is {}.{}{}{} Mend or leave out such data; if they are sound, lower "
        "the learning rate.",
        learner.prefix, state_.step, value, bad.empty() ? "" : bad + ".",
        suspects({loss.cases, loss.inputs}), learner.not_finite()));
  }
  if (!loss.cases.empty()) seen_ = {loss.cases, loss.inputs};
  learner.differentiate(loss.total * (state_.loss_scale.value / double(batches)), last);
}

void TrainingStep::update(json& line) {
  LossScale& scale = state_.loss_scale;
  const auto& learners = state_.learners;
  std::vector<double> norms;
  bool finite = true;
  for (const auto& learner : learners) {
    norms.push_back(learner->optimiser.gradient_norm() / scale.value);
    finite = finite && std::isfinite(norms.back());
  }
  const double share = schedule_at(options_, state_.step);
  line["lr"] = share * options_.learning_rate;
  if (options_.precision == Precision::fp16) line["loss_scale"] = scale.value;
  if (!finite) return leave_out(line);
  for (size_t i = 0; i < learners.size(); ++i) {
    line[learners[i]->prefix + "grad_norm"] = norms[i];
    const double clip =
        options_.clip_norm > 0 ? std::max(1.0, (norms[i] + 1e-6) / options_.clip_norm) : 1;
    learners[i]->optimiser.step(share * learners[i]->learning_rate, clip * scale.value);
  }
  if (options_.ema_decay > 0) state_.average.update();
  if (options_.precision == Precision::fp16) scale.update(false);
}

void TrainingStep::leave_out(json& line) {
  std::string bad;
  for (const auto& learner : state_.learners) bad += learner->not_finite();
  if (options_.precision != Precision::fp16 || state_.loss_scale.value <= 1) {
    throw Error(
        fmt::format("the gradient of step {} is not finite.{}{} Lower the learning rate, or use "
                    "train.precision fp32.",
                    state_.step, bad, suspects(seen_)));
  }
  state_.loss_scale.update(true);
  line["left_out"] = 1;
  for (const auto& learner : state_.learners) learner->optimiser.forget_gradients();
}

}  // namespace x2ctpa
