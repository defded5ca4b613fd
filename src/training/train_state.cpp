#include "training/train_state.h"

#include <ATen/ATen.h>

#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

TrainState::TrainState(const TrainingStage& stage, const TrainOptions& options,
                       const Processes& processes)
    : average(*stage.module, options.ema_decay), options_(options), processes_(processes) {
  const bool decoupled = options.optimiser == OptimiserKind::adamw;
  learners.push_back(std::make_unique<Learner>(
      "", *stage.module, options.learning_rate,
      AdamOptions{options.betas, options.weight_decay, decoupled}, processes));
  for (const auto& o : stage.opponents) {
    learners.push_back(std::make_unique<Learner>(o.name + "_", *o.module, o.learning_rate,
                                                 AdamOptions{o.betas, o.weight_decay, decoupled},
                                                 processes));
  }
  if (options.precision == Precision::fp16) loss_scale.value = 65536;
}

bool TrainState::finished() const {
  return step >= options_.steps || (options_.patience > 0 && stale >= options_.patience);
}

void TrainState::broadcast() {
  for (const auto& learner : learners) learner->broadcast(processes_);
}

void TrainState::keep_buffers() {
  for (const auto& learner : learners) learner->keep_buffers();
}

void TrainState::put_back() {
  for (const auto& learner : learners) {
    learner->optimiser.forget_gradients();
    learner->restore_buffers();
  }
}

void TrainState::swap_average() {
  if (options_.ema_decay > 0) average.swap();
}

void TrainState::judge(double score) {
  if (!(score < best_score_)) {
    ++stale;
    return;
  }
  best_score_ = score;
  stale = 0;
  if (!options_.keep_best || !processes_.first()) return;
  best_.clear();
  for (const auto& [name, tensor] : named_tensors(main().module))
    best_[name] = tensor.detach().clone();
}

void TrainState::take_final_weights() {
  main().module.eval();
  if (options_.keep_best && !best_.empty())
    load_tensors(main().module, best_, "the best weights");
  else if (options_.ema_decay > 0)
    average.apply();
}

TensorMap TrainState::tensors() const {
  TensorMap out;
  for (const auto& learner : learners) learner->save(out);
  if (options_.ema_decay > 0) average.save(out, "ema");
  for (const auto& [name, tensor] : best_) out["best." + name] = tensor;
  out["loop"] = at::tensor(
      {best_score_, double(stale), loss_scale.value, double(loss_scale.good_steps)}, at::kDouble);
  return out;
}

void TrainState::load(const TensorMap& tensors, const std::string& source) {
  for (const auto& learner : learners) learner->load(tensors, source);
  if (options_.ema_decay > 0) average.load(tensors, "ema");
  for (const auto& [name, tensor] : tensors) {
    if (name.rfind("best.", 0) == 0) best_[name.substr(5)] = tensor.clone();
  }
  const auto found = tensors.find("loop");
  if (found == tensors.end() || found->second.numel() != 4) return;
  const auto* state = found->second.const_data_ptr<double>();
  best_score_ = state[0];
  stale = int64_t(state[1]);
  if (options_.precision == Precision::fp16) loss_scale = {state[2], int64_t(state[3])};
}

}  // namespace x2ctpa
