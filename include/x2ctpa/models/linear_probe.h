// Logistic regression on principal components of a small copy of the input: a PE classifier that
// suits few cases. The classifier stage computes its numbers; nothing of it is drawn.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct LinearProbeOptions {
  std::vector<int64_t> grid{};  ///< shape (C, D, H, W), (C, H, W) or (E) that is seen; empty: none
  int64_t components = 0;
  std::vector<double> window{};  ///< values are clipped to it and stretched to [-1, 1]; empty: not

  void describe(OptionList& options);
};

/// Inputs (B, C, D, H, W), (B, C, H, W) or (B, E), averaged to `grid` and flattened: (B, P).
at::Tensor averaged_to_grid(const at::Tensor& x, at::IntArrayRef grid);

/// The same after clipping to `window`, of two limits or none, which becomes [-1, 1].
at::Tensor averaged_to_grid(const at::Tensor& x, at::IntArrayRef grid,
                            const std::vector<double>& window);

/// Logit = weight · directions (x - mean) + bias, x averaged to the grid. All four are buffers.
class LinearProbeImpl : public torch::nn::Module {
 public:
  explicit LinearProbeImpl(LinearProbeOptions options = {});

  /// mean (P), directions (K, P), weight (K).
  void set(const at::Tensor& mean, const at::Tensor& directions, const at::Tensor& weight,
           double bias);

  at::Tensor forward(const at::Tensor& x);  ///< logits (B)

  const LinearProbeOptions& options() const { return options_; }

 private:
  LinearProbeOptions options_;
  at::Tensor mean_, directions_, weight_, bias_;
};
TORCH_MODULE(LinearProbe);

}  // namespace x2ctpa
