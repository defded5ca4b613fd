#include "training/learner.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

bool is_finite(const at::Tensor& x) { return at::isfinite(x).all().item<bool>(); }

std::vector<at::Tensor> trained(const torch::nn::Module& module) {
  std::vector<at::Tensor> out;
  for (const auto& p : module.parameters()) {
    if (p.requires_grad()) out.push_back(p);
  }
  return out;
}

}  // namespace

Learner::Learner(std::string prefix, torch::nn::Module& module, double learning_rate,
                 const AdamOptions& options, const Processes& processes)
    : prefix(std::move(prefix)),
      module(module),
      learning_rate(learning_rate),
      optimiser(trained(module), options),
      sum_(trained(module), processes) {}

void Learner::need_gradients(bool on) {
  for (const auto& p : optimiser.parameters()) p.requires_grad_(on);
}

void Learner::differentiate(const at::Tensor& loss, bool last) {
  if (last) sum_.start();
  loss.backward();
  if (last) sum_.finish();
}

std::string Learner::not_finite() const {
  std::string first, last;
  int64_t count = 0;
  for (const auto& item : module.named_parameters()) {
    if (!is_finite(item.value())) return fmt::format(" The weights {} are not finite.", item.key());
    if (!item.value().grad().defined() || is_finite(item.value().grad())) continue;
    if (++count == 1) first = item.key();
    last = item.key();
  }
  if (count == 0) return "";
  if (count == 1) return fmt::format(" The gradient of {} is not finite.", first);
  return fmt::format(
      " {} gradients are not finite, from {} to {}; the backward pass met the last of them first.",
      count, first, last);
}

void Learner::broadcast(const Processes& processes) {
  for (auto& [name, tensor] : named_tensors(module)) {
    at::Tensor shared = tensor.detach();
    processes.broadcast(shared);
  }
}

void Learner::keep_buffers() {
  at::NoGradGuard no_grad;
  buffers_.clear();
  for (const auto& buffer : module.buffers()) buffers_.push_back(buffer.clone());
}

void Learner::restore_buffers() {
  at::NoGradGuard no_grad;
  const auto own = module.buffers();
  for (size_t i = 0; i < buffers_.size() && i < own.size(); ++i) own[i].copy_(buffers_[i]);
}

void Learner::save(TensorMap& out) const {
  for (const auto& [name, tensor] : named_tensors(module)) out[prefix + "model." + name] = tensor;
  optimiser.save(out, prefix + "optimiser");
}

void Learner::load(const TensorMap& in, const std::string& source) {
  const std::string start = prefix + "model.";
  TensorMap weights;
  for (const auto& [name, tensor] : in) {
    if (name.rfind(start, 0) == 0) weights[name.substr(start.size())] = tensor;
  }
  load_tensors(module, weights, source);
  optimiser.load(in, prefix + "optimiser");
}

}  // namespace x2ctpa
