// A model folder: config.yaml (the options that built the module) and model.safetensors (every
// named parameter and buffer).
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <string>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

/// Every named parameter and buffer of `module`, by its dotted name. The tensors share memory.
TensorMap named_tensors(const torch::nn::Module& module);

/// Copies `tensors` into the parameters and buffers of `module`. Strict: throws Error naming
/// `source` and the tensor when one is missing or left over, has another shape or type, or holds a
/// value that is not finite; the module is unchanged then.
void load_tensors(torch::nn::Module& module, const TensorMap& tensors, const std::string& source);

/// Writes `folder`/model.safetensors and then `folder`/config.yaml, each atomically.
void save_module(const std::filesystem::path& folder, const torch::nn::Module& module,
                 const std::string& config_yaml);

/// load_tensors() from `folder`/model.safetensors; works for a module on any device.
void load_module(const std::filesystem::path& folder, torch::nn::Module& module);

/// The paths of the two files.
std::filesystem::path model_config_file(const std::filesystem::path& folder);
std::filesystem::path model_weights_file(const std::filesystem::path& folder);

}  // namespace x2ctpa
