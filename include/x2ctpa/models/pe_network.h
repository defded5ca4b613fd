// The network of a PE classifier.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/linear_probe.h"

namespace x2ctpa {

/// DenseNet3d, logistic regression on a frozen embedding, or a linear probe.
struct PeNetworkOptions {
  DenseNet3dOptions densenet;
  int64_t embedding_dim = 0;  ///< above 0: a linear layer on an embedding of that length
  LinearProbeOptions probe;   ///< with a grid: a linear probe

  void describe(OptionList& options);
};

class PeNetworkImpl : public torch::nn::Module {
 public:
  explicit PeNetworkImpl(PeNetworkOptions options = {});
  explicit PeNetworkImpl(LinearProbe probe);

  /// Logits (B) of (B, C, D, H, W), (B, C, H, W) or (B, embedding_dim), as the options say.
  at::Tensor forward(const at::Tensor& x);

  /// What a model folder holds: the DenseNet3d, the linear layer or the probe itself.
  torch::nn::Module& weights();
  /// Its config.yaml: for a DenseNet3d that model's own, so that whatever reads one reads this.
  std::string config() const;

  const PeNetworkOptions& options() const { return options_; }

 private:
  PeNetworkOptions options_;
  DenseNet3d densenet_{nullptr};
  torch::nn::Linear linear_{nullptr};
  LinearProbe probe_{nullptr};
};
TORCH_MODULE(PeNetwork);

/// The network of a model folder, in evaluation mode.
PeNetwork load_pe_network(const std::filesystem::path& folder);

}  // namespace x2ctpa
