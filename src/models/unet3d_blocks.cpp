#include "models/unet3d_blocks.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/utils.h>

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "models/checks.h"
#include "models/kernels/fixed_order.h"
#include "models/kernels/linear_map.h"
#include "models/kernels/norm_silu.h"
#include "models/kernels/unet3d_attention.h"

namespace x2ctpa::unet3d {
namespace {

bool in_place() { return !torch::GradMode::is_enabled(); }

// The uniform initialisation of LibTorch's own layers.
at::Tensor initial(at::IntArrayRef shape, int64_t fan_in) {
  const double bound = 1.0 / std::sqrt(double(fan_in));
  return at::empty(shape).uniform_(-bound, bound);
}

torch::nn::Linear linear(int64_t in, int64_t out, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

// (B, D, H, W, C) as a channels-last (B D, C, H, W), a view.
at::Tensor as_pictures(const at::Tensor& x) {
  return x.view({x.size(0) * x.size(1), x.size(2), x.size(3), x.size(4)}).permute({0, 3, 1, 2});
}

// softmax(q k^T / sqrt(d) + bias) v for (N, heads, tokens, head_dim).
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& bias) {
  const double scale = 1.0 / std::sqrt(double(head_dim));
  // LibTorch's fused kernels: not on devices without them. On the CPU they give no gradient of the
  // bias, and on a GPU their backward pass has no fixed order.
  const bool needs_bias_gradient = bias.defined() && torch::GradMode::is_enabled();
  if ((q.is_cuda() && !fixed_order::wanted(q)) || (q.is_cpu() && !needs_bias_gradient)) {
    constexpr int64_t most = 32768;  // more fails on CUDA (pytorch #142228)
    // Contiguous: for other strides LibTorch falls back on separate operators.
    const auto mask =
        bias.defined() ? std::optional<at::Tensor>(bias.contiguous().unsqueeze(0)) : std::nullopt;
    if (!q.is_cuda() || q.size(0) <= most) {
      return at::scaled_dot_product_attention(q, k, v, mask, 0.0, false, scale);
    }
    std::vector<at::Tensor> parts;
    for (int64_t start = 0; start < q.size(0); start += most) {
      const int64_t count = std::min(most, q.size(0) - start);
      parts.push_back(
          at::scaled_dot_product_attention(q.narrow(0, start, count), k.narrow(0, start, count),
                                           v.narrow(0, start, count), mask, 0.0, false, scale));
    }
    return at::cat(parts);
  }
  auto similarity = at::matmul(q * scale, k.transpose(-1, -2));
  if (bias.defined()) similarity = similarity + bias;
  return at::matmul(similarity.softmax(-1), v);
}

// Turns the pairs of channels of q and k (B, D, N, 2, heads, head_dim) by the angles of their D.
at::Tensor rotate(const at::Tensor& qk, const at::Tensor& rotation) {
  const auto turn = at::view_as_complex(rotation).view({rotation.size(0), 1, 1, 1, head_dim / 2});
  const auto pairs = qk.unflatten(-1, {head_dim / 2, 2});
  if (qk.scalar_type() != at::kFloat) {
    return at::view_as_real(at::view_as_complex(pairs.to(at::kFloat).contiguous()) * turn)
        .flatten(-2)
        .to(qk.scalar_type());
  }
  if (in_place()) {
    at::view_as_complex(pairs).mul_(turn);
    return qk;
  }
  return at::view_as_real(at::view_as_complex(pairs) * turn).flatten(-2);
}

}  // namespace

PlanarConvImpl::PlanarConvImpl(int64_t in, int64_t out, int64_t kernel, Kind kind)
    : kind_(kind), kernel_(kernel) {
  const bool up = kind == Kind::up;
  const int64_t fan_in = (up ? out : in) * kernel * kernel;
  weight_ = register_parameter("weight",
                               initial({up ? in : out, up ? out : in, 1, kernel, kernel}, fan_in));
  bias_ = register_parameter("bias", initial({out}, fan_in));
}

at::Tensor PlanarConvImpl::forward(const at::Tensor& x) const {
  if (kernel_ == 1) return linear_map(x, weight_.flatten(1), bias_);
  const auto pictures = as_pictures(x);
  const auto weight = weight_.squeeze(2);
  at::Tensor y;
  switch (kind_) {
    case Kind::same:
      y = at::conv2d(pictures, weight, bias_, 1, kernel_ / 2);
      break;
    case Kind::down:
      y = at::conv2d(pictures, weight, bias_, 2, 1);
      break;
    case Kind::up:
      y = at::conv_transpose2d(pictures, weight, bias_, 2, 1);
      break;
  }
  y = y.permute({0, 2, 3, 1}).contiguous();
  return y.view({x.size(0), x.size(1), y.size(1), y.size(2), y.size(3)});
}

namespace {

// GroupNorm of h (B, D, H, W, C) with the scale and shift of each sample's channels, (1 or B, C).
// A GPU's native kernel gives each group one block of threads, and returns the channels first.
at::Tensor group_norm(const at::Tensor& h, int64_t groups, const at::Tensor& scale,
                      const at::Tensor& shift, double eps) {
  const int64_t channels = h.size(4);
  const auto x = h.view({h.size(0), -1, groups, channels / groups}).to(at::kFloat);
  const auto by_group = [&](const at::Tensor& v) {
    return v.to(at::kFloat).view({v.size(0), 1, groups, channels / groups});
  };
  const auto [variance, mean] =
      at::var_mean(x, at::OptionalIntArrayRef({1, 3}), /*correction=*/0, /*keepdim=*/true);
  const auto factor = by_group(scale) * (variance + eps).rsqrt();
  return at::addcmul(by_group(shift) - mean * factor, x, factor)
      .to(h.scalar_type())
      .view(h.sizes());
}

}  // namespace

BlockImpl::BlockImpl(int64_t in, int64_t out, int64_t groups)
    : groups_(fitting_groups(out, groups)) {
  proj_ = register_module("proj", std::make_shared<PlanarConvImpl>(in, out, 3));
  norm_ = register_module("norm", torch::nn::GroupNorm(groups_, out));
}

at::Tensor BlockImpl::forward(const at::Tensor& x, const at::Tensor& scale_shift) const {
  const auto h = proj_->forward(x);
  const int64_t batch = h.size(0), channels = h.size(4);
  const double eps = norm_->options.eps();
  auto scale = norm_->weight.unsqueeze(0), shift = norm_->bias.unsqueeze(0);
  if (scale_shift.defined()) {  // (n w + b) s + t = n (w s) + (b s + t)
    const auto s = scale_shift.narrow(1, 0, channels) + 1;
    shift = at::addcmul(scale_shift.narrow(1, channels, channels), shift, s);
    scale = scale * s;
  }
  if (!h.is_cpu()) return activate(group_norm(h, groups_, scale, shift, eps));
  const auto rows = h.view({batch, h.size(1) * h.size(2), h.size(3), channels});
  return norm_silu(rows.permute({0, 3, 1, 2}), groups_, scale, shift, eps)
      .permute({0, 2, 3, 1})
      .contiguous()
      .view(h.sizes());
}

ResnetBlockImpl::ResnetBlockImpl(int64_t in, int64_t out, int64_t embedding_dim, int64_t groups) {
  if (embedding_dim > 0) mlp_ = register_module("mlp", linear(embedding_dim, 2 * out, true));
  block1_ = register_module("block1", std::make_shared<BlockImpl>(in, out, groups));
  block2_ = register_module("block2", std::make_shared<BlockImpl>(out, out, groups));
  if (in != out)
    res_conv_ = register_module("res_conv", std::make_shared<PlanarConvImpl>(in, out, 1));
}

at::Tensor ResnetBlockImpl::forward(const at::Tensor& x, const at::Tensor& embedding) const {
  const auto scale_shift =
      mlp_.is_empty() ? at::Tensor() : at::linear(embedding, mlp_->weight, mlp_->bias);
  const auto h = block2_->forward(block1_->forward(x, scale_shift), {});
  if (res_conv_) return res_conv_->forward(x).add_(h);
  if (!in_place()) return h + x;
  at::Tensor y = h;
  return y.add_(x);
}

ChannelNormImpl::ChannelNormImpl(int64_t channels) {
  weight_ = register_parameter("weight", at::ones({channels}));
}

at::Tensor ChannelNormImpl::forward(const at::Tensor& x) const {
  return at::layer_norm(x, {x.size(-1)}, weight_);
}

SpatialAttentionImpl::SpatialAttentionImpl(int64_t channels, int64_t heads, bool linear_form)
    : heads_(heads), linear_(linear_form) {
  const int64_t hidden = heads * head_dim;
  norm_ = register_module("norm", std::make_shared<ChannelNormImpl>(channels));
  to_qkv_ = register_module("to_qkv", linear(channels, 3 * hidden, false));
  to_out_ = register_module("to_out", linear(hidden, channels, linear_form));
}

at::Tensor SpatialAttentionImpl::forward(const at::Tensor& x) {
  return linear_ ? linear_attention(x) : softmax_attention(x);
}

at::Tensor SpatialAttentionImpl::linear_attention(const at::Tensor& x) {
  const int64_t slices = x.size(0) * x.size(1), pixels = x.size(2) * x.size(3);
  const int64_t channels = x.size(4), hidden = heads_ * head_dim;
  const auto tokens = norm_->forward(x).view({slices, pixels, channels});
  if (in_place() && has_attention_kernels(tokens)) {
    auto qkv = linear_map(tokens, to_qkv_->weight).view({slices, pixels, 3, heads_, head_dim});
    // (heads, slices * head_dim, head_dim) times to_out: one product per slice is left.
    const auto context = linear_attention_context_(qkv).view({heads_, -1, head_dim});
    const auto folded = at::bmm(context, to_out_->weight.t().reshape({heads_, head_dim, channels}))
                            .view({heads_, slices, head_dim, channels})
                            .transpose(0, 1)
                            .reshape({slices, hidden, channels});
    const auto q = qkv.view({slices, pixels, 3 * hidden}).narrow(2, 0, hidden);
    const auto biased = x.view({slices, pixels, channels}) + to_out_->bias;
    return at::baddbmm(biased, q, folded).view(x.sizes());
  }
  const auto weights = to_qkv_->weight.chunk(3);
  const auto q =
      at::linear(tokens, weights[0]).view({slices, pixels, heads_, head_dim}).softmax(-1);
  // k and v with the pixels last: the softmax goes along memory, and one product makes the
  // contexts of all heads.
  const auto columns = [&](const at::Tensor& weight) {
    return at::bmm(weight.unsqueeze(0).expand({slices, -1, -1}), tokens.transpose(1, 2))
        .view({slices * heads_, head_dim, pixels});
  };
  const auto k = columns(weights[1]).softmax(-1), v = columns(weights[2]);
  const double scale = 1.0 / std::sqrt(double(head_dim));
  const auto context = at::bmm(k, v.transpose(1, 2))
                           .view({slices, heads_, head_dim, head_dim})
                           .transpose(0, 1)
                           .reshape({heads_, slices * head_dim, head_dim});
  // to_out folded into the contexts: one product per slice is left.
  const auto out_weights = (to_out_->weight.t() * scale).reshape({heads_, head_dim, channels});
  const auto folded = at::bmm(context, out_weights)
                          .view({heads_, slices, head_dim, channels})
                          .transpose(0, 1)
                          .reshape({slices, hidden, channels});
  auto out = at::baddbmm(to_out_->bias, q.view({slices, pixels, hidden}), folded);
  return out.view(x.sizes()).add_(x);
}

at::Tensor SpatialAttentionImpl::softmax_attention(const at::Tensor& x) {
  const int64_t slices = x.size(0) * x.size(1), pixels = x.size(2) * x.size(3);
  const auto qkv = to_qkv_->forward(norm_->forward(x))
                       .view({slices, pixels, 3, heads_, head_dim})
                       .permute({2, 0, 3, 1, 4});
  const auto out = attend(qkv[0], qkv[1], qkv[2], {})
                       .transpose(1, 2)
                       .reshape({x.size(0), x.size(1), x.size(2), x.size(3), heads_ * head_dim});
  return to_out_->forward(out).add_(x);
}

namespace {

// temporal_attention() in LibTorch's operators, for every device and type.
at::Tensor attend_along_depth(const at::Tensor& qkv, const Condition& condition) {
  const auto qk = rotate(qkv.narrow(3, 0, 2), condition.rotation);
  // (B, D, N, heads, d) -> (B, N, heads, D, d)
  const auto q = qk.select(3, 0).permute({0, 2, 3, 1, 4});
  const auto k = qk.select(3, 1).permute({0, 2, 3, 1, 4});
  const auto v = qkv.select(3, 2).permute({0, 2, 3, 1, 4});
  const auto bias = condition.position_bias.to(qkv.scalar_type());
  std::vector<at::Tensor> samples;
  for (int64_t b = 0; b < qkv.size(0); ++b) {  // (N, heads, D, d) -> (D, N, heads, d)
    samples.push_back(attend(q[b], k[b], v[b], bias).permute({2, 0, 1, 3}));
  }
  return at::stack(samples).flatten(3);
}

}  // namespace

TemporalAttentionImpl::TemporalAttentionImpl(int64_t channels, int64_t heads) : heads_(heads) {
  norm_ = register_module("norm", std::make_shared<ChannelNormImpl>(channels));
  to_qkv_ = register_module("to_qkv", linear(channels, 3 * heads * head_dim, false));
  to_out_ = register_module("to_out", linear(heads * head_dim, channels, false));
}

at::Tensor TemporalAttentionImpl::forward(const at::Tensor& x, const Condition& condition) {
  const int64_t batch = x.size(0), depth = x.size(1), pixels = x.size(2) * x.size(3);
  const auto tokens = norm_->forward(x).view({batch, depth, pixels, x.size(4)});
  const auto out =
      has_attention_kernels(tokens)
          ? temporal_attention(tokens, to_qkv_->weight, condition.rotation, condition.position_bias)
          : attend_along_depth(
                to_qkv_->forward(tokens).view({batch, depth, pixels, 3, heads_, head_dim}),
                condition);
  return linear_map(out, to_out_->weight).view(x.sizes()).add_(x);
}

PositionBiasImpl::PositionBiasImpl(int64_t heads) {
  weight_ = register_parameter("weight", at::randn({32, heads}));
}

at::Tensor PositionBiasImpl::forward(int64_t depth) {
  constexpr int64_t side = 16, exact = 8;  // buckets on each side, those of a single distance
  constexpr double furthest = 32;
  if (!buckets_.defined() || buckets_.size(0) != depth * depth ||
      buckets_.device() != weight_.device()) {
    std::vector<int64_t> buckets;
    for (int64_t i = 0; i < depth; ++i) {
      for (int64_t j = 0; j < depth; ++j) {
        const int64_t distance = std::abs(i - j);
        int64_t bucket = distance;
        if (distance >= exact) {
          const float ratio = std::log(float(distance) / exact) / float(std::log(furthest / exact));
          bucket = std::min<int64_t>(exact + int64_t(ratio * (side - exact)), side - 1);
        }
        buckets.push_back(bucket + (j > i ? side : 0));
      }
    }
    buckets_ = at::tensor(buckets, at::kLong).to(weight_.device());
  }
  return weight_.index_select(0, buckets_).view({depth, depth, -1}).permute({2, 0, 1});
}

at::Tensor rotary_frequencies() {
  const auto exponents = at::arange(0, head_dim, 2, at::kFloat) / head_dim;
  return at::pow(10000.0, exponents).reciprocal();
}

at::Tensor rotary_table(int64_t depth, const at::Tensor& frequencies) {
  const auto angles = at::arange(depth, frequencies.options()).unsqueeze(1) * frequencies;
  return at::stack({angles.cos(), angles.sin()}, -1);
}

at::Tensor sinusoidal_embedding(const at::Tensor& t, int64_t dim) {
  const int64_t half = dim / 2;
  const auto options = at::TensorOptions(at::kFloat).device(t.device());
  const auto frequencies =
      (at::arange(half, options) * (-std::log(10000.0) / double(half - 1))).exp();
  const auto angles = t.to(at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  return at::cat({angles.sin(), angles.cos()}, -1);
}

}  // namespace x2ctpa::unet3d
