// Operators whose backward pass on a GPU adds up in an order that changes from call to call, so
// that LibTorch refuses them under runtime.deterministic, in operators that keep to one order. Each
// gives what LibTorch's own gives, and takes more memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace x2ctpa::fixed_order {

/// Whether the operators below are to be taken for `x`: gradients are wanted under
/// runtime.deterministic, and not on the CPU, whose own operators have a fixed order.
bool wanted(const at::Tensor& x);

/// replication_pad3d of x (B, C, D, H, W): before and after W, H, D.
at::Tensor replication_pad3d(at::Tensor x, at::IntArrayRef padding);

/// avg_pool3d with stride = kernel and no padding.
at::Tensor avg_pool3d(const at::Tensor& x, at::IntArrayRef kernel);

/// max_pool3d of x (B, C, D, H, W).
at::Tensor max_pool3d(const at::Tensor& x, at::IntArrayRef kernel, at::IntArrayRef stride,
                      at::IntArrayRef padding);

/// upsample_bilinear2d of x (B, C, H, W) to `size`, align_corners false.
at::Tensor upsample_bilinear2d(const at::Tensor& x, at::IntArrayRef size);

/// grid_sampler_2d of x (B, C, H, W) at places (B, h, w, 2): bilinear, zero outside, align_corners
/// false.
at::Tensor grid_sampler_2d(const at::Tensor& x, const at::Tensor& places);

}  // namespace x2ctpa::fixed_order
