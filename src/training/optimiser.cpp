#include "x2ctpa/training/optimiser.h"

#include <ATen/ATen.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

void save_list(TensorMap& out, const std::string& name, const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) out[fmt::format("{}.{:05}", name, i)] = tensors[i];
}

void load_list(const TensorMap& in, const std::string& name, const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string key = fmt::format("{}.{:05}", name, i);
    const auto found = in.find(key);
    if (found == in.end() || found->second.sizes() != tensors[i].sizes()) {
      throw Error(fmt::format("the checkpoint has no tensor \"{}\" of the expected shape", key));
    }
    tensors[i].copy_(found->second);
  }
}

}  // namespace

AdamW::AdamW(std::vector<at::Tensor> parameters, double beta1, double beta2, double weight_decay)
    : parameters_(std::move(parameters)), beta1_(beta1), beta2_(beta2), weight_decay_(weight_decay) {
  for (const auto& p : parameters_) {
    first_.push_back(at::zeros_like(p));
    second_.push_back(at::zeros_like(p));
    steps_.push_back(at::zeros({}, p.options().dtype(at::kFloat)));
  }
}

void AdamW::step(double learning_rate) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> p, g, m, v, n;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    p.push_back(parameters_[i]);
    // The fused kernel walks memory: gradient and weight must share one layout.
    g.push_back(parameters_[i].grad().contiguous());
    m.push_back(first_[i]);
    v.push_back(second_[i]);
    n.push_back(steps_[i]);
    steps_[i] += 1;
    parameters_[i].mutable_grad() = at::Tensor();
  }
  at::_fused_adamw_(p, g, m, v, {}, n, learning_rate, beta1_, beta2_, weight_decay_, 1e-8, false, false);
}

double AdamW::clip(double limit) {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& p : parameters_) {
    if (p.grad().defined()) gradients.push_back(p.grad());
  }
  if (gradients.empty()) return 0;
  const double norm = at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
  if (limit > 0 && norm > limit) at::_foreach_mul_(gradients, limit / (norm + 1e-6));
  return norm;
}

void AdamW::save(TensorMap& out, const std::string& prefix) const {
  save_list(out, prefix + ".first", first_);
  save_list(out, prefix + ".second", second_);
  save_list(out, prefix + ".steps", steps_);
}

void AdamW::load(const TensorMap& in, const std::string& prefix) {
  load_list(in, prefix + ".first", first_);
  load_list(in, prefix + ".second", second_);
  load_list(in, prefix + ".steps", steps_);
}

WeightAverage::WeightAverage(const torch::nn::Module& module, double decay) : decay_(decay) {
  for (const auto& p : module.parameters()) {
    parameters_.push_back(p.detach());
    average_.push_back(p.detach().clone());
  }
}

void WeightAverage::update() {
  at::NoGradGuard no_grad;
  ++updates_;
  const double decay = std::min(decay_, double(1 + updates_) / double(10 + updates_));
  at::_foreach_lerp_(average_, parameters_, 1 - decay);
}

void WeightAverage::apply() const {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < average_.size(); ++i) parameters_[i].copy_(average_[i]);
}

void WeightAverage::swap() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < average_.size(); ++i) {
    const auto own = parameters_[i].clone();
    parameters_[i].copy_(average_[i]);
    average_[i].copy_(own);
  }
}

void WeightAverage::save(TensorMap& out, const std::string& prefix) const {
  save_list(out, prefix + ".average", average_);
  out[prefix + ".updates"] = at::tensor({updates_}, at::kLong);
}

void WeightAverage::load(const TensorMap& in, const std::string& prefix) {
  load_list(in, prefix + ".average", average_);
  updates_ = in.at(prefix + ".updates").item<int64_t>();
}

}  // namespace x2ctpa
