// Low-rank updates (LoRA; Hu et al., arXiv 2106.09685) of the layers of any module: each weight is
// W = W_0 + scale B A, of which A and B alone are trained.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct LoraOptions {
  int64_t rank = 0;
  int64_t conv_rank = 0;
  double scale = 1;

  bool any() const { return rank > 0 || conv_rank > 0; }
  void describe(OptionList& options);
};

/// The updates, as a module beside their target: "<layer>.lora_down" is A (rank, n), normal with
/// deviation 1 / rank at first; "<layer>.lora_up" is B (m, rank), zero at first. m is the first
/// axis of the layer's weight, n all others together.
class LoraImpl : public torch::nn::Module {
 public:
  /// Freezes every parameter of `target`, which must outlive this, and makes an update for the
  /// weight of each linear layer (`rank`) and of each convolution (`conv_rank`); 0: for none of
  /// them. Throws Error when that leaves nothing to train.
  LoraImpl(torch::nn::Module& target, LoraOptions options);

  /// Puts W into the target. With gradients enabled it is a part of the graph, through which those
  /// of A and B flow: call it once before each forward pass that is followed by a backward pass.
  /// Under NoGradGuard the target is an ordinary module afterwards.
  void apply();

  int64_t layers() const { return int64_t(updates_.size()); }

 private:
  struct Update {
    at::Tensor weight, base, down, up;
  };

  void add(const std::string& layer, at::Tensor weight, int64_t rank);

  LoraOptions options_;
  std::vector<Update> updates_;
};
TORCH_MODULE(Lora);

}  // namespace x2ctpa
