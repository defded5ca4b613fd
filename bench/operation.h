// One operation that bench/compare.py times against its peer.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa::bench {

/// What compare.py prepared: a folder with `setup.json`, `inputs.safetensors` where there are
/// tensors to read, and `model`, a model folder, where there is a network.
struct Setup {
  std::filesystem::path folder;
  nlohmann::json options;
  TensorMap inputs;
  c10::Device device = c10::kCPU;

  const at::Tensor& input(const std::string& name) const { return inputs.at(name); }
  std::filesystem::path model() const { return folder / "model"; }
};

struct Operation {
  std::function<void()> run;           ///< what is timed
  std::function<TensorMap()> outputs;  ///< of the last run, to be compared with the peer's
};

Operation unet_forward(const Setup& setup);
Operation unet_train(const Setup& setup);
Operation denoise(const Setup& setup);
Operation vqgan_reconstruct(const Setup& setup);
Operation vqgan_train(const Setup& setup);
Operation vae_decode(const Setup& setup);
Operation vit(const Setup& setup);
Operation vit_load(const Setup& setup);
Operation densenet(const Setup& setup);
Operation resample_cubic(const Setup& setup);
Operation preprocess_series(const Setup& setup);
Operation drr(const Setup& setup);
Operation drr_backward(const Setup& setup);
Operation image_metrics(const Setup& setup);

}  // namespace x2ctpa::bench
