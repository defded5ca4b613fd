#include "models/kernels/norm_silu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>
#include <tuple>
#include <vector>

#include "models/kernels/fixed_order.h"

namespace x2ctpa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Normalised {
  at::Tensor y, mean, rstd;  // y before SiLU
  at::Tensor n;              // before scale and shift, where each sample has its own
};

std::optional<at::Tensor> whole_batch(const at::Tensor& v) {
  return v.size(0) == 1 ? std::optional<at::Tensor>(v[0].contiguous()) : std::nullopt;
}

// (N, C) -> (N, C, 1, ...) as x has it.
at::Tensor spread(const at::Tensor& v, const at::Tensor& x) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[0] = v.size(0);
  shape[1] = v.size(1);
  return v.view(shape);
}

Normalised normalise(const at::Tensor& x, int64_t groups, const at::Tensor& scale,
                     const at::Tensor& shift, double eps) {
  const int64_t batch = x.size(0), channels = x.size(1), pixels = x.numel() / (batch * channels);
  Normalised out;
  std::tie(out.y, out.mean, out.rstd) = at::native_group_norm(
      x, whole_batch(scale), whole_batch(shift), batch, channels, pixels, groups, eps);
  if (scale.size(0) == 1) return out;
  out.n = out.y;
  out.y = at::addcmul(spread(shift, x), out.n, spread(scale, x));
  return out;
}

struct NormSilu : torch::autograd::Function<NormSilu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t groups,
                            const at::Tensor& scale, const at::Tensor& shift, double eps) {
    auto found = normalise(x, groups, scale, shift, eps);
    context->save_for_backward({x, scale, shift, found.mean, found.rstd});
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    return at::silu_(found.y);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &scale = saved[1], &shift = saved[2];
    const int64_t groups = context->saved_data["groups"].toInt();
    const int64_t batch = x.size(0), channels = x.size(1), pixels = x.numel() / (batch * channels);
    const auto again = normalise(x, groups, scale, shift, context->saved_data["eps"].toDouble());
    auto gradient = at::silu_backward(gradients[0], again.y);
    const bool joint = !again.n.defined();
    at::Tensor of_scale, of_shift;
    if (!joint) {
      std::vector<int64_t> axes;
      for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
      of_scale = (gradient * again.n).sum(axes).to(scale.scalar_type());
      of_shift = gradient.sum(axes).to(shift.scalar_type());
      gradient = gradient * spread(scale, x);
    }
    auto [of_x, of_weight, of_bias] = at::native_group_norm_backward(
        gradient.to(x.scalar_type()), x, saved[3], saved[4], whole_batch(scale), batch, channels,
        pixels, groups, {true, joint, joint});
    if (joint) {
      of_scale = of_weight.unsqueeze(0);
      of_shift = of_bias.unsqueeze(0);
    }
    return {of_x, at::Tensor(), of_scale, of_shift, at::Tensor()};
  }
};

struct Pad : torch::autograd::Function<Pad> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            at::IntArrayRef padding) {
    context->saved_data["shape"] = x.sizes().vec();
    context->saved_data["padding"] = padding.vec();
    return at::replication_pad3d(x, padding);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto shape = context->saved_data["shape"].toIntVector(),
               padding = context->saved_data["padding"].toIntVector();
    const auto gradient = gradients[0].contiguous();
    // Of the input the operator takes the shape alone: one value stands for all.
    const auto input = at::zeros({1}, gradient.options()).expand(shape);
    return {at::replication_pad3d_backward(gradient, input, padding), at::Tensor()};
  }
};

}  // namespace

at::Tensor activate(at::Tensor x) {
  return at::GradMode::is_enabled() ? at::silu(x) : at::silu_(x);
}

at::Tensor norm_silu(const at::Tensor& x, int64_t groups, const at::Tensor& scale,
                     const at::Tensor& shift, double eps) {
  if (!x.is_cpu() && x.scalar_type() != at::kFloat) {
    return norm_silu(x.to(at::kFloat), groups, scale.to(at::kFloat), shift.to(at::kFloat), eps)
        .to(x.scalar_type());
  }
  if (!at::GradMode::is_enabled()) return activate(normalise(x, groups, scale, shift, eps).y);
  return NormSilu::apply(x, groups, scale, shift, eps);
}

at::Tensor pad_replicate(const at::Tensor& x, at::IntArrayRef padding) {
  if (!at::GradMode::is_enabled()) return at::replication_pad3d(x, padding);
  return fixed_order::wanted(x) ? fixed_order::replication_pad3d(x, padding)
                                : Pad::apply(x, padding);
}

}  // namespace x2ctpa
