// How a codebook is used over an epoch, and what is done when it collapses.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <functional>

namespace x2ctpa {

/// Counts code indices batch by batch. Its state is buffers, so that it travels in checkpoints.
class CodebookUsageImpl : public torch::nn::Module {
 public:
  explicit CodebookUsageImpl(int64_t codes);

  /// The code indices of a batch, of any shape. `sum` is called on counts that must be summed over
  /// the processes of a run, in place: each then knows all, and the first one's checkpoint too.
  void add(const at::Tensor& indices, const std::function<void(at::Tensor&)>& sum = {});

  /// The counts start anew; what they said stays in last_use(), last_perplexity() and unused().
  void end_epoch();

  /// Of the last whole epoch: the share of codes that were used at all, and exp of the entropy of
  /// their use, 1 to codes. NaN before the first epoch has ended.
  double last_use() const;
  double last_perplexity() const;
  /// (codes) bool: not used in the last whole epoch.
  at::Tensor unused() const { return last_counts_ == 0; }

 private:
  at::Tensor counts_, last_counts_;  // (codes) int64
};
TORCH_MODULE(CodebookUsage);

}  // namespace x2ctpa
