// The attentions of Unet3d as kernels of ours for CPUs. Along D, LibTorch's fused kernel is made
// for long sequences: with one of 64 tokens per pixel and head, most of its time is overhead.
// Within slices, it is the passes over memory that linear attention is made of.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa::unet3d {

/// True for what the kernels take: float32 or bfloat16 on the CPU, contiguous.
bool has_attention_kernels(const at::Tensor& qkv);

/// softmax(R q (R k)^T / sqrt(head_dim) + bias) v among the D tokens of each pixel and head, where
/// R turns pairs of channels by the angles of their D. qkv (B, D, N, 3, heads, head_dim)
/// contiguous, rotation (D, head_dim / 2, 2) float32: cosine and sine, bias (heads, D, D) -> (B, D,
/// N, heads head_dim). Computed in float32. Differentiable in qkv and bias; the backward pass
/// computes the weights anew instead of keeping them, and gives the same bits with any number of
/// threads.
at::Tensor temporal_attention(const at::Tensor& qkv, const at::Tensor& rotation,
                              const at::Tensor& bias);

/// The first half of linear attention (arXiv 1812.01243), without gradients. qkv (slices, pixels,
/// 3, heads, head_dim): replaces q by softmax(q) / sqrt(head_dim) over the channels of each head,
/// and returns softmax(k)^T v with k's softmax over the pixels, (heads, slices, head_dim,
/// head_dim).
at::Tensor linear_attention_context_(at::Tensor& qkv);

}  // namespace x2ctpa::unet3d
