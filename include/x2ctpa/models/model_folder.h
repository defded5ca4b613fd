// A model folder: config.yaml (the options that built the module) and model.safetensors (every
// named parameter and buffer).
#pragma once

#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <optional>
#include <string>

#include "x2ctpa/core/options.h"
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

/// While one lives, random fills (uniform_, normal_) on this thread leave tensors as they are, so
/// that layers about to be loaded do not take the time and memory of initial values.
///
/// LibTorch has no supported switch for this. The dispatch key that serves, one of its
/// TESTING_ONLY keys, may change its meaning or go with any version. The first use therefore
/// builds a small layer under it; when that does not do what it should, nothing is left out:
/// models are built with initial values as ever, which costs time and memory but nothing else.
class WithoutInitialValues {
 public:
  WithoutInitialValues();
  /// Under another key, as where LibTorch's has changed; tried in the same way.
  explicit WithoutInitialValues(c10::DispatchKey key);

  /// Whether random fills are left out.
  bool acts() const { return mode_.has_value(); }

 private:
  std::optional<c10::impl::IncludeDispatchKeyGuard> mode_;
};

/// What `make` builds, its weights still to be loaded.
template <class Make>
auto without_initial_values(const Make& make) {
  const WithoutInitialValues scope;
  return make();
}

/// What `make` builds, with the weights of `folder`; errors as load_module().
template <class Make>
auto load_model(const std::filesystem::path& folder, const Make& make) {
  auto model = without_initial_values(make);
  load_module(folder, *model);
  return model;
}

/// The model, such as Unet3d, of `folder`: built with its options, with its weights.
template <class Model>
Model load_model(const std::filesystem::path& folder) {
  using Options = std::decay_t<decltype(std::declval<const Model&>()->options())>;
  return load_model(folder,
                    [&] { return Model(load_options<Options>(model_config_file(folder))); });
}

}  // namespace x2ctpa
