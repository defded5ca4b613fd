// Adam (Kingma and Ba, arXiv 1412.6980) and AdamW (Loshchilov and Hutter, arXiv 1711.05101) in
// fused ATen calls, and the moving average of weights.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "x2ctpa/core/safetensors.h"

namespace x2ctpa {

struct AdamOptions {
  std::vector<double> betas{0.9, 0.999};
  double weight_decay = 0;
  bool decoupled = true;  ///< AdamW's decay; else the decay is part of the gradient, as in Adam
};

class Adam {
 public:
  Adam(std::vector<at::Tensor> parameters, AdamOptions options);

  /// Joint L2 norm of the gradients, 0 when there are none.
  double gradient_norm() const;

  /// One update from the parameters' gradients divided by `divisor`. Then they have none.
  /// Parameters without a gradient stay as they are.
  void step(double learning_rate, double divisor = 1);

  void forget_gradients();

  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  /// Moments and counters under `prefix`, sharing memory; load() copies into them.
  void save(TensorMap& out, const std::string& prefix) const;
  void load(const TensorMap& in, const std::string& prefix);

 private:
  std::vector<at::Tensor> parameters_, first_, second_, steps_;
  AdamOptions options_;
};

/// Exponential moving average of every parameter of a module that needs a gradient; buffers are not
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
