// GroupNorm, scale, shift and SiLU, and replicate padding, which keep less for the backward pass
// than LibTorch's operators do.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// SiLU, in place where no gradient is wanted.
at::Tensor activate(at::Tensor x);

/// activate(n * scale + shift), where n is x (N, C, ...) normalised within `groups` groups of
/// channels. scale and shift are (1, C), or (N, C) with each sample's own. Keeps x alone for the
/// backward pass, which normalises anew: operator by operator, three tensors of this size would be
/// kept. Beside a CPU, bf16 and fp16 are computed in float32: a GPU's kernel takes one type, and
/// statistics need the digits.
at::Tensor norm_silu(const at::Tensor& x, int64_t groups, const at::Tensor& scale,
                     const at::Tensor& shift, double eps);

/// replication_pad3d, which keeps its input for nothing but its shape.
at::Tensor pad_replicate(const at::Tensor& x, at::IntArrayRef padding);

}  // namespace x2ctpa
