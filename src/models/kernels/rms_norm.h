// RMS norm over channels (Zhang and Sennrich, arXiv 1910.07467), which keeps less for the backward
// pass than LibTorch's operators do.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// x / sqrt(mean of x^2 over the channels + 1e-6) * weight, with x (B, C, ...) and weight (C).
/// Computed in float32, returned in x's type. Keeps x alone for the backward pass.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight);

}  // namespace x2ctpa
