// The classifier of the arm that sees an X-ray and a volume: two networks whose logits are joined.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/pe_network.h"

namespace x2ctpa {

struct PePairOptions {
  PeNetworkOptions xray, volume;
  std::vector<int64_t> xray_shape{}, volume_shape{};  ///< of their inputs, without batch axis
  double slope = 2, intercept = 0;

  void describe(OptionList& options);
};

class PePairImpl : public torch::nn::Module {
 public:
  explicit PePairImpl(PePairOptions options = {});
  /// Of trained networks.
  PePairImpl(PePairOptions options, PeNetwork xray, PeNetwork volume);

  /// Logits (B) = slope x mean of both logits + intercept. x: (B, E), the numbers of the X-ray,
  /// then those of the volume.
  at::Tensor forward(const at::Tensor& x);

  const PePairOptions& options() const { return options_; }

 private:
  PePairOptions options_;
  PeNetwork xray_{nullptr}, volume_{nullptr};
};
TORCH_MODULE(PePair);

}  // namespace x2ctpa
