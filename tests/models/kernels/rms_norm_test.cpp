#include "models/kernels/rms_norm.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::relative_error;

at::Tensor by_operators(const at::Tensor& x, const at::Tensor& weight) {
  return x * (x.square().mean(1, true) + 1e-6).rsqrt() * weight.view({1, -1, 1, 1, 1});
}

TEST(RmsNorm, AndItsGradientsAreThoseOfLibTorchsOperators) {
  torch::manual_seed(1);
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast3d}) {
    for (const int64_t channels : {1, 5, 24}) {
      const auto leaf = [&](const at::Tensor& t) { return t.clone().requires_grad_(); };
      const auto data = torch::randn({2, channels, 3, 4, 5}).contiguous(format);
      const auto gain = torch::randn({channels}), toward = torch::randn({2, channels, 3, 4, 5});
      const auto x = leaf(data), y = leaf(data), a = leaf(gain), b = leaf(gain);
      const auto found = rms_norm(x, a), expected = by_operators(y, b);
      EXPECT_LT(relative_error(found, expected), 1e-5);
      (found * toward).sum().backward();
      (expected * toward).sum().backward();
      EXPECT_LT(relative_error(x.grad(), y.grad()), 1e-4);
      EXPECT_LT(relative_error(a.grad(), b.grad()), 1e-4);
      torch::NoGradGuard no_grad;
      EXPECT_LT(relative_error(rms_norm(data, gain), expected), 1e-5);
    }
  }
}

TEST(RmsNorm, ReturnsTheTypeOfItsInput) {
  const auto x = torch::randn({1, 4, 2, 2, 2}), gain = torch::ones({4});
  const auto found = rms_norm(x.to(at::kBFloat16), gain);
  EXPECT_EQ(found.scalar_type(), at::kBFloat16);
  EXPECT_LT(relative_error(found, rms_norm(x, gain)), 0.02);
}

}  // namespace
}  // namespace x2ctpa
