// AdamW (Loshchilov and Hutter, arXiv 1711.05101) in fused ATen calls, and the moving average of weights.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <vector>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

class AdamW {
 public:
  AdamW(std::vector<at::Tensor> parameters, double beta1, double beta2, double weight_decay);

  /// One update from the parameters' gradients, then sets them to none.
  void step(double learning_rate);

  /// Scales the gradients so that their joint L2 norm is at most `limit` (0: no limit). Returns the
  /// norm before.
  double clip(double limit);

  /// Moments and counters under `prefix`, sharing memory; load() copies into them.
  void save(TensorMap& out, const std::string& prefix) const;
  void load(const TensorMap& in, const std::string& prefix);

 private:
  std::vector<at::Tensor> parameters_, first_, second_, steps_;
  double beta1_, beta2_, weight_decay_;
};

/// Exponential moving average of every floating-point parameter of a module; buffers are not
/// averaged. The decay warms up as (1 + n) / (10 + n).
class WeightAverage {
 public:
  WeightAverage(const torch::nn::Module& module, double decay);
  void update();
  /// Copies the average into the module.
  void apply() const;
  /// Exchanges the module's weights and the average; call twice around a validation.
  void swap();
  void save(TensorMap& out, const std::string& prefix) const;
  void load(const TensorMap& in, const std::string& prefix);

 private:
  std::vector<at::Tensor> parameters_, average_;
  double decay_;
  int64_t updates_ = 0;
};

}  // namespace x2ctpa
