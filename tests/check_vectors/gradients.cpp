#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "case.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa::check {
namespace {

// Both sides are computed in float32, and a backward pass sums over every voxel.
constexpr double gradient_tolerance = 1e-3;
// Some gradients are zero in exact arithmetic, as that of the bias of the keys in an attention or
// of the scale before a batch normalisation: what is found there is rounding of the other
// gradients. A gradient whose largest element is below this share of the largest of the model is
// measured against that share.
constexpr double smallest_scale = 1e-3;

double largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

}  // namespace

void Case::check_run(torch::nn::Module& model, const std::vector<std::string>& inputs,
                     const Run& run) {
  TensorMap given;
  for (const auto& name : inputs) given[name] = input(name);
  const bool training = hyperparameters_.value("training", false);
  const TensorMap weights = read_safetensors(model_weights_file(folder_));
  model.train(training);
  {
    torch::NoGradGuard no_grad;
    for (const auto& [name, output] : run(given)) compare(name, output);
  }
  if (!std::filesystem::exists(folder_ / "gradients")) return;
  if (training) load_tensors(model, weights, name_);  // the statistics have moved
  check_gradients(model, std::move(given), run);
}

void Case::check_gradients(torch::nn::Module& model, TensorMap inputs, const Run& run) {
  for (auto& [name, tensor] : inputs) {
    if (has("gradient." + name)) tensor = tensor.clone().set_requires_grad(true);
  }
  model.zero_grad();
  std::vector<at::Tensor> outputs, cotangents;
  for (const auto& [name, output] : run(inputs)) {
    if (!has("cotangent." + name)) continue;
    outputs.push_back(output);
    cotangents.push_back(input("cotangent." + name));
  }
  if (outputs.empty()) throw Error("gradients without a stored \"cotangent.<output>\"");
  torch::autograd::backward(outputs, cotangents);
  for (const auto& [name, tensor] : inputs) {
    const auto stored = "gradient." + name;
    if (!has(stored)) continue;
    const auto& expected = input(stored);
    print(stored, largest(tensor.grad() - expected) / largest(expected), gradient_tolerance);
  }
  compare_parameters(model);
}

void Case::compare_parameters(const torch::nn::Module& model) {
  const auto stored = read_safetensors(model_weights_file(folder_ / "gradients"));
  double scale = 0;
  for (const auto& parameter : model.named_parameters()) {
    scale = std::max(scale, largest(stored.at(parameter.key())));
  }
  double worst = -1;
  std::string name;
  for (const auto& parameter : model.named_parameters()) {
    const auto expected = stored.at(parameter.key()).to(device_);
    const auto& grad = parameter.value().grad();
    const auto found = grad.defined() ? grad : at::zeros_like(expected);
    const double error =
        largest(found - expected) / std::max(largest(expected), smallest_scale * scale);
    if (error <= worst) continue;
    worst = error;
    name = parameter.key();
  }
  const auto count = model.named_parameters().size();
  print("gradients", worst, gradient_tolerance, fmt::format(" worst of {}: {}", count, name));
}

}  // namespace x2ctpa::check
