// Activation checkpointing (Chen et al., arXiv 1604.06174): a block's activations are forgotten
// after the forward pass and computed anew in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace x2ctpa {

/// While it lives on this thread, with `on`, blocks that can be computed anew keep only their
/// inputs.
class RecomputeActivations {
 public:
  explicit RecomputeActivations(bool on);
  ~RecomputeActivations();
  RecomputeActivations(const RecomputeActivations&) = delete;
  RecomputeActivations& operator=(const RecomputeActivations&) = delete;

 private:
  bool before_;
};

/// `block(inputs)`. Within a RecomputeActivations scope, and when gradients are wanted, only
/// `inputs` are kept for the backward pass. `block` must give the same when called twice: no random
/// numbers, no buffers that it changes. Gradients go to `inputs` and to the parameters that it
/// uses; undefined inputs are passed on.
at::Tensor recomputed(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& block,
                      const std::vector<at::Tensor>& inputs);

}  // namespace x2ctpa
