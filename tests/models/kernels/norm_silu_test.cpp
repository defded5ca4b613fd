// Norm, scale, shift and SiLU in one function, and padding, against LibTorch's operators one by
// one.
#include "models/kernels/norm_silu.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <vector>

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::relative_error;

void expect_equal(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift) {
  std::vector<at::Tensor> a, b;
  for (const auto& in : {x, scale, shift}) {
    a.push_back(in.detach().clone().requires_grad_());
    b.push_back(in.detach().clone().requires_grad_());
  }
  const auto y = norm_silu(a[0], 3, a[1], a[2], 1e-5);
  const std::vector<int64_t> spread{scale.size(0), scale.size(1), 1, 1, 1};
  const auto expected =
      at::silu(at::group_norm(b[0], 3, {}, {}, 1e-5) * b[1].view(spread) + b[2].view(spread));
  EXPECT_LT(relative_error(y.detach(), expected.detach()), 1e-5);
  const auto cotangent = at::randn(x.sizes());
  y.backward(cotangent);
  expected.backward(cotangent);
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(relative_error(a[i].grad(), b[i].grad()), 2e-5) << "input " << i;
  at::NoGradGuard no_grad;
  EXPECT_LT(relative_error(norm_silu(x, 3, scale, shift, 1e-5), expected), 1e-5);
}

TEST(NormSilu, EqualsItsOperatorsWithOneScaleAndWithOneForEachSample) {
  torch::manual_seed(1);
  const auto x = at::randn({2, 6, 3, 4, 5}) * 2 + 1;
  expect_equal(x, at::randn({1, 6}), at::randn({1, 6}));
  expect_equal(x, at::randn({2, 6}), at::randn({2, 6}));
}

TEST(NormSilu, PaddingHasTheGradientOfLibTorchs) {
  torch::manual_seed(2);
  const std::vector<int64_t> padding{1, 2, 0, 1, 1, 0};
  const auto x = at::randn({2, 3, 4, 5, 6});
  auto a = x.clone().requires_grad_(), b = x.clone().requires_grad_();
  const auto ours = pad_replicate(a, padding), theirs = at::replication_pad3d(b, padding);
  EXPECT_TRUE(at::equal(ours, theirs));
  const auto cotangent = at::randn(theirs.sizes());
  ours.backward(cotangent);
  theirs.backward(cotangent);
  EXPECT_TRUE(at::equal(a.grad(), b.grad()));
}

}  // namespace
}  // namespace x2ctpa
