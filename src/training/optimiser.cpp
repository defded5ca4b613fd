#include "x2ctpa/training/optimiser.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

void save_list(TensorMap& out, const std::string& name, const std::vector<at::Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) out[fmt::format("{}.{:05}", name, i)] = tensors[i];
}

void load_list(const TensorMap& in, const std::string& name,
               const std::vector<at::Tensor>& tensors) {
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

Adam::Adam(std::vector<at::Tensor> parameters, AdamOptions options)
    : parameters_(std::move(parameters)), options_(std::move(options)) {
  for (const auto& p : parameters_) {
    first_.push_back(at::zeros_like(p));
    second_.push_back(at::zeros_like(p));
    steps_.push_back(at::zeros({}, p.options().dtype(at::kFloat)));
  }
}

double Adam::gradient_norm() const {
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& p : parameters_) {
    if (p.grad().defined()) gradients.push_back(p.grad());
  }
  return gradients.empty() ? 0 : at::stack(at::_foreach_norm(gradients, 2)).norm().item<double>();
}

void Adam::step(double learning_rate, double divisor) {
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
  }
  if (p.empty()) return;
  at::_foreach_add_(n, 1);
  std::optional<at::Tensor> scale;
  if (divisor != 1) scale = at::full({}, divisor, p.front().options().dtype(at::kFloat));
  const double beta1 = options_.betas.at(0), beta2 = options_.betas.at(1), epsilon = 1e-8;
  if (options_.decoupled) {
    at::_fused_adamw_(p, g, m, v, {}, n, learning_rate, beta1, beta2, options_.weight_decay,
                      epsilon, false, false, scale);
  } else {
    at::_fused_adam_(p, g, m, v, {}, n, learning_rate, beta1, beta2, options_.weight_decay, epsilon,
                     false, false, scale);
  }
  forget_gradients();
}

void Adam::forget_gradients() {
  for (auto& p : parameters_) p.mutable_grad() = at::Tensor();
}

void Adam::save(TensorMap& out, const std::string& prefix) const {
  save_list(out, prefix + ".first", first_);
  save_list(out, prefix + ".second", second_);
  save_list(out, prefix + ".steps", steps_);
}

void Adam::load(const TensorMap& in, const std::string& prefix) {
  load_list(in, prefix + ".first", first_);
  load_list(in, prefix + ".second", second_);
  load_list(in, prefix + ".steps", steps_);
}

WeightAverage::WeightAverage(const torch::nn::Module& module, double decay) : decay_(decay) {
  for (const auto& p : module.parameters()) {
    if (!p.requires_grad()) continue;
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
