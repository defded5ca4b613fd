#include "x2ctpa/models/model_folder.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include <cmath>
#include <vector>

#include "models/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/memory.h"

namespace x2ctpa {
namespace {

std::string list_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 5; ++i) text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > 5) text += fmt::format(" and {} more", names.size() - 5);
  return text;
}

void check_names(const TensorMap& expected, const TensorMap& found, const std::string& source) {
  std::vector<std::string> missing, unexpected;
  for (const auto& [name, tensor] : expected) {
    if (found.count(name) == 0) missing.push_back(name);
  }
  for (const auto& [name, tensor] : found) {
    if (expected.count(name) == 0) unexpected.push_back(name);
  }
  if (missing.empty() && unexpected.empty()) return;
  std::string text = fmt::format("{}: the weights do not fit the model.", source);
  if (!missing.empty()) text += fmt::format(" Missing: {}.", list_names(missing));
  if (!unexpected.empty()) text += fmt::format(" Unexpected: {}.", list_names(unexpected));
  throw Error(text + " Were the weights saved with other options?");
}

// In one pass without a temporary: NaN goes through minimum and maximum.
bool is_finite(const at::Tensor& x) {
  if (!x.is_floating_point() || x.numel() == 0) return true;
  const auto [low, high] = at::aminmax(x);
  return std::isfinite(low.item<double>()) && std::isfinite(high.item<double>());
}

void check_shape_and_type(const std::string& name, const at::Tensor& own, const at::Tensor& given,
                          const std::string& source) {
  if (own.sizes() != given.sizes()) {
    throw Error(fmt::format("{}: tensor {}: expected shape {}, found {}", source, name,
                            shape_text(own.sizes()), shape_text(given.sizes())));
  }
  if (own.scalar_type() != given.scalar_type()) {
    throw Error(fmt::format("{}: tensor {}: expected type {}, found {}", source, name,
                            c10::toString(own.scalar_type()), c10::toString(given.scalar_type())));
  }
}

void check_finite(const std::string& name, const at::Tensor& given, const std::string& source) {
  if (is_finite(given)) return;
  throw Error(fmt::format("{}: tensor {} holds values that are not finite", source, name));
}

}  // namespace

TensorMap named_tensors(const torch::nn::Module& module) {
  TensorMap tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace(item.key(), item.value());
  return tensors;
}

void load_tensors(torch::nn::Module& module, const TensorMap& tensors, const std::string& source) {
  const TensorMap own = named_tensors(module);
  check_names(own, tensors, source);
  for (const auto& [name, tensor] : own) {
    check_shape_and_type(name, tensor, tensors.at(name), source);
    check_finite(name, tensors.at(name), source);
  }
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : own) at::Tensor(tensor).copy_(tensors.at(name));
}

std::filesystem::path model_config_file(const std::filesystem::path& folder) {
  return folder / "config.yaml";
}

std::filesystem::path model_weights_file(const std::filesystem::path& folder) {
  return folder / "model.safetensors";
}

void save_module(const std::filesystem::path& folder, const torch::nn::Module& module,
                 const std::string& config_yaml) {
  TensorMap tensors = named_tensors(module);
  for (auto& [name, tensor] : tensors) tensor = tensor.detach();
  write_safetensors(model_weights_file(folder), tensors);
  write_file(model_config_file(folder), config_yaml);
}

void load_module(const std::filesystem::path& folder, torch::nn::Module& module) {
  const auto file = model_weights_file(folder);
  const TensorMap tensors = read_safetensors(file);
  const TensorMap own = named_tensors(module);
  check_names(own, tensors, file.string());
  torch::NoGradGuard no_grad;
  // The heap keeps freed memory: give the initial values back before the file's pages come in.
  constexpr size_t most_freed = size_t{32} << 20;
  size_t freed = 0;
  for (const auto& [name, tensor] : own) {
    check_shape_and_type(name, tensor, tensors.at(name), file.string());
    // On the CPU the mapped file itself serves as the weights: there is no second copy of them.
    if (tensor.is_cpu()) {
      freed += tensor.nbytes();
      tensor.set_data(tensors.at(name));
      if (freed > most_freed) {
        release_freed_memory();
        freed = 0;
      }
    }
    check_finite(name, tensors.at(name), file.string());
    if (!tensor.is_cpu()) at::Tensor(tensor).copy_(tensors.at(name));
  }
}

}  // namespace x2ctpa
