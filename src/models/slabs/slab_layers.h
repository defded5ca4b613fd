// An autoencoder as the slabs see it: convolutions, norms and residual blocks between two changes
// of resolution.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace x2ctpa::slabs {

/// A convolution of either kind, after padding.
struct Conv {
  at::Tensor weight, bias;
  std::vector<int64_t> stride;
  /// Slices before and after: W, H, D, as torch::pad takes them.
  std::vector<int64_t> padding;
  bool zeros = false;       ///< pads with zeros, else with the outermost slice
  bool transposed = false;  ///< its output is cut by kernel - 1 at both ends of each axis
  bool doubled = false;     ///< linear interpolation to twice the size comes first

  int64_t out_channels() const { return weight.size(transposed ? 1 : 0); }
};

/// A norm and, with `silu`, the activation that follows it.
struct Norm {
  int64_t groups = 0;  ///< 0: batch norm
  double eps = 1e-6;
  at::Tensor weight, bias;
  at::Tensor running_mean, running_variance;  ///< of a batch norm
  bool silu = true;
};

/// Norm and convolution, twice, added to the input; through `shortcut`, of kernel 1, where the
/// channels change.
struct Block {
  Norm norm1;
  Conv conv1;
  Norm norm2;
  Conv conv2;
  std::optional<Conv> shortcut;
};

/// What lies between two changes of resolution.
struct Level {
  std::optional<Norm> norm;  ///< before the first layer
  std::vector<Conv> layers;
  std::vector<Block> blocks;
  bool finest = false;  ///< the one with the largest activations
};

}  // namespace x2ctpa::slabs
