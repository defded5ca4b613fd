// A module with what trains it.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "training/gradient_sum.h"
#include "x2ctpa/training/optimiser.h"
#include "x2ctpa/training/processes.h"

namespace x2ctpa {

class Learner {
 public:
  /// `prefix`: of its numbers in logs and of its tensors in checkpoints; "" for the stage's own.
  Learner(std::string prefix, torch::nn::Module& module, double learning_rate,
          const AdamOptions& options, const Processes& processes);

  void need_gradients(bool on);

  /// Adds the gradient of `loss`. `last`: of the step; then the gradients are means over the
  /// processes.
  void differentiate(const at::Tensor& loss, bool last);

  /// The names of parameters whose value or gradient is not finite, in a sentence; empty: none.
  std::string not_finite() const;

  /// As the first process's in all.
  void broadcast(const Processes& processes);

  /// Keeps the buffers as they are, and brings them back.
  void keep_buffers();
  void restore_buffers();

  void save(TensorMap& out) const;
  void load(const TensorMap& in, const std::string& source);

  std::string prefix;
  torch::nn::Module& module;
  double learning_rate;
  Adam optimiser;

 private:
  GradientSum sum_;
  std::vector<at::Tensor> buffers_;
};

/// Scaling of the loss, so that small gradients do not vanish in fp16 (Micikevicius et al., arXiv
/// 1710.03740): doubled after 2000 good steps, halved after one whose gradient overflowed.
struct LossScale {
  double value = 1;
  int64_t good_steps = 0;

  void update(bool overflow) {
    good_steps = overflow ? 0 : good_steps + 1;
    if (overflow) value /= 2;
    if (good_steps == 2000) {
      value *= 2;
      good_steps = 0;
    }
  }
};

}  // namespace x2ctpa
