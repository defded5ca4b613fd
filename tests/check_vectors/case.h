// One case of cases.json: its hyperparameters, stored tensors and converted model folder, and the
// comparison of its outputs and gradients.
#pragma once

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa::check {

class Case {
 public:
  /// Reads `vectors`/<name>.safetensors to `device`. `folder` is the converted model's.
  Case(std::string name, nlohmann::json hyperparameters, const std::filesystem::path& vectors,
       std::filesystem::path folder, c10::Device device);

  const nlohmann::json& hyperparameters() const { return hyperparameters_; }
  const std::filesystem::path& folder() const { return folder_; }
  c10::Device device() const { return device_; }
  const TensorMap& tensors() const { return tensors_; }

  bool has(const std::string& tensor) const { return tensors_.count(tensor) > 0; }
  /// A stored tensor that is an input. Throws Error when there is none of this name.
  const at::Tensor& input(const std::string& tensor);

  /// Prints "case output error", the largest difference as a share of the largest stored value.
  /// Nothing happens when the folder has no such output.
  void compare(const std::string& output, const at::Tensor& found);

  /// Runs `model` on the stored tensors `inputs` and compares its outputs, and where the case
  /// stores gradients, those of every parameter and input of the sum of each output times the
  /// stored "cotangent.<output>". Training mode where the case says so.
  using Run = std::function<TensorMap(const TensorMap& inputs)>;
  void check_run(torch::nn::Module& model, const std::vector<std::string>& inputs, const Run& run);

  /// The same for a number of cases.json, `key` of `numbers`.
  void compare_number(const nlohmann::json& numbers, const std::string& key, double found);

  /// Says on stderr which stored tensors were neither an input nor compared.
  void report_rest() const;

  int failures() const { return failures_; }

 private:
  void print(const std::string& output, double error, double tolerance,
             const std::string& note = "");
  void check_gradients(torch::nn::Module& model, TensorMap inputs, const Run& run);
  void compare_parameters(const torch::nn::Module& model);

  std::string name_;
  nlohmann::json hyperparameters_;
  std::filesystem::path folder_;
  c10::Device device_;
  TensorMap tensors_;
  std::set<std::string> used_;
  int failures_ = 0;
};

// By kind of cases.json.
void check_unet3d(Case& c);
void check_vqgan(Case& c);
void check_autoencoder_kl(Case& c);
void check_autoencoder_maisi(Case& c);
void check_biomedclip_vit(Case& c);
void check_clip_vision(Case& c);
void check_densenet3d(Case& c);
void check_lpips(Case& c);
void check_discriminators(Case& c);
void check_latent_discriminator(Case& c);
void check_samplers(Case& c);
void check_metrics(Case& c);

}  // namespace x2ctpa::check
