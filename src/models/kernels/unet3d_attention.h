// The attentions of Unet3d as kernels of ours for CPUs. Along D, LibTorch's fused kernel is made
// for long sequences: with one of 64 tokens per pixel and head, most of its time is overhead.
// Within slices, it is the passes over memory that linear attention is made of.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa::unet3d {

/// True where the kernels can make the attention of `tokens`: on the CPU, contiguous, with q, k and
/// v in float32 or bfloat16.
bool has_attention_kernels(const at::Tensor& tokens);

/// softmax(R q (R k)^T / sqrt(head_dim) + bias) v among the D tokens of each pixel and head, where
/// (q, k, v) = tokens to_qkv^T and R turns pairs of channels by the angles of their D. tokens (B,
/// D, N, C) contiguous, to_qkv (3 heads head_dim, C), rotation (D, head_dim / 2, 2) float32: cosine
/// and sine, bias (heads, D, D) -> (B, D, N, heads head_dim). Computed in float32 from q, k and v.
/// Differentiable in tokens, to_qkv and bias; the backward pass makes q, k, v and the weights anew
/// instead of keeping them, which are many times as large as the tokens, and gives the same bits
/// with any number of threads.
at::Tensor temporal_attention(const at::Tensor& tokens, const at::Tensor& to_qkv,
                              const at::Tensor& rotation, const at::Tensor& bias);

/// The first half of linear attention (arXiv 1812.01243), without gradients. qkv (slices, pixels,
/// 3, heads, head_dim): replaces q by softmax(q) / sqrt(head_dim) over the channels of each head,
/// and returns softmax(k)^T v with k's softmax over the pixels, (heads, slices, head_dim,
/// head_dim).
at::Tensor linear_attention_context_(at::Tensor& qkv);

}  // namespace x2ctpa::unet3d
