#include "models/kernels/rms_norm.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

namespace x2ctpa {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double eps = 1e-6;

at::Tensor reciprocal_rms(const at::Tensor& x) {
  return x.square().mean(1, /*keepdim=*/true).add_(eps).rsqrt_();
}

// (C) -> (1, C, 1, ...) as x has it.
at::Tensor by_channel(const at::Tensor& weight, const at::Tensor& x) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[1] = weight.size(0);
  return weight.to(at::kFloat).view(shape);
}

at::Tensor normalise_and_scale(const at::Tensor& x, const at::Tensor& weight) {
  const auto wide = x.to(at::kFloat);
  return (wide * reciprocal_rms(wide)).mul_(by_channel(weight, x)).to(x.scalar_type());
}

struct RmsNormFunction : torch::autograd::Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({x, weight});
    return normalise_and_scale(x, weight);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto wide = x.to(at::kFloat), of_y = gradients[0].to(at::kFloat);
    const auto scale = reciprocal_rms(wide);
    const auto n = wide * scale;
    std::vector<int64_t> axes{0};
    for (int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
    const auto of_weight = (of_y * n).sum(axes).to(weight.scalar_type());
    auto of_n = of_y * by_channel(weight, x);
    const auto along = (of_n * n).mean(1, /*keepdim=*/true);
    const auto of_x = of_n.sub_(n * along).mul_(scale);
    return {of_x.to(x.scalar_type()), of_weight};
  }
};

}  // namespace

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight) {
  return at::GradMode::is_enabled() ? RmsNormFunction::apply(x, weight)
                                    : normalise_and_scale(x, weight);
}

}  // namespace x2ctpa
