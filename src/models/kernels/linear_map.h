// What the U-Net's layers and its attention kernels share: linear maps, and the width of a head.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace x2ctpa::unet3d {

/// The width of one attention head.
constexpr int64_t head_dim = 32;

/// x W^T + b over the last dimension of x (..., C).
at::Tensor linear_map(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace x2ctpa::unet3d
