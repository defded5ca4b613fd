// Operators with a fixed order of sums give what LibTorch's own give, forward and backward.
#include "models/kernels/fixed_order.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <functional>
#include <vector>

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::relative_error;

// Equal outputs, and equal gradients of every input for one random cotangent.
void expect_equal(const std::vector<at::Tensor>& inputs,
                  const std::function<at::Tensor(const std::vector<at::Tensor>&)>& ours,
                  const std::function<at::Tensor(const std::vector<at::Tensor>&)>& theirs) {
  std::vector<at::Tensor> a, b;
  for (const auto& x : inputs) {
    a.push_back(x.clone().requires_grad_());
    b.push_back(x.clone().requires_grad_());
  }
  const auto found = ours(a), expected = theirs(b);
  ASSERT_EQ(found.sizes(), expected.sizes());
  EXPECT_LT(relative_error(found.detach(), expected.detach()), 1e-5);
  const auto cotangent = at::randn(expected.sizes());
  found.backward(cotangent);
  expected.backward(cotangent);
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_LT(relative_error(a[i].grad(), b[i].grad()), 1e-5) << "input " << i;
}

TEST(FixedOrder, PadsByTheNearestVoxel) {
  torch::manual_seed(1);
  for (const auto& padding :
       {std::vector<int64_t>{1, 1, 1, 1, 1, 1}, {2, 1, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 0}}) {
    expect_equal(
        {at::randn({2, 3, 4, 5, 1})},
        [&](const auto& in) { return fixed_order::replication_pad3d(in[0], padding); },
        [&](const auto& in) { return at::replication_pad3d(in[0], padding); });
  }
}

TEST(FixedOrder, PoolsMeansOfWholeBlocks) {
  torch::manual_seed(2);
  for (const auto& kernel : {std::vector<int64_t>{2, 2, 2}, {1, 2, 2}, {1, 1, 1}}) {
    expect_equal(
        {at::randn({2, 3, 5, 4, 7})},
        [&](const auto& in) { return fixed_order::avg_pool3d(in[0], kernel); },
        [&](const auto& in) { return at::avg_pool3d(in[0], kernel, kernel); });
  }
}

TEST(FixedOrder, PoolsTheLargestOfOverlappingBlocks) {
  torch::manual_seed(3);
  const std::vector<int64_t> kernel{3, 3, 3}, stride{2, 2, 2}, padding{1, 1, 1}, plane{1, 3, 3},
      steps{1, 2, 2}, sides{0, 1, 1};
  expect_equal(
      {at::randn({2, 3, 5, 6, 7})},
      [&](const auto& in) { return fixed_order::max_pool3d(in[0], kernel, stride, padding); },
      [&](const auto& in) { return at::max_pool3d(in[0], kernel, stride, padding); });
  expect_equal(
      {at::randn({2, 3, 1, 6, 7})},
      [&](const auto& in) { return fixed_order::max_pool3d(in[0], plane, steps, sides); },
      [&](const auto& in) { return at::max_pool3d(in[0], plane, steps, sides); });
}

TEST(FixedOrder, EnlargesBilinearly) {
  torch::manual_seed(4);
  const std::vector<int64_t> size{8, 15};
  expect_equal(
      {at::randn({2, 3, 4, 5})},
      [&](const auto& in) { return fixed_order::upsample_bilinear2d(in[0], size); },
      [&](const auto& in) { return at::upsample_bilinear2d(in[0], size, false); });
}

TEST(FixedOrder, SamplesAtPlacesWithinAndBeyondThePicture) {
  torch::manual_seed(5);
  expect_equal(
      {at::randn({2, 3, 5, 4}), at::rand({2, 6, 7, 2}) * 3 - 1.5},
      [](const auto& in) { return fixed_order::grid_sampler_2d(in[0], in[1]); },
      [](const auto& in) { return at::grid_sampler_2d(in[0], in[1], 0, 0, false); });
}

}  // namespace
}  // namespace x2ctpa
