#include "x2ctpa/models/kernels/recompute.h"

#include <gtest/gtest.h>

#include <vector>

#include "x2ctpa/core/autocast.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

TEST(Recompute, TheBlockRunsTwiceAndKeepsItsGradient) {
  int calls = 0;
  const auto block = [&](const std::vector<at::Tensor>& in) {
    ++calls;
    return (in[0] * in[1]).sin();
  };
  const auto x = at::randn({5}).requires_grad_(), y = at::randn({5}).requires_grad_();
  block({x, y}).sum().backward();
  const auto gx = x.grad().clone(), gy = y.grad().clone();
  x.mutable_grad() = at::Tensor();
  y.mutable_grad() = at::Tensor();
  calls = 0;
  const RecomputeActivations on(true);
  recomputed(block, {x, y}).sum().backward();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at::equal(x.grad(), gx));
  EXPECT_TRUE(at::equal(y.grad(), gy));
}

template <class Model, class Loss>
void expect_same_gradients(Model& model, Loss loss) {
  loss().backward();
  std::vector<at::Tensor> plain;
  for (auto& p : model->parameters()) {
    plain.push_back(p.grad().defined() ? p.grad().clone() : at::Tensor());
    p.mutable_grad() = at::Tensor();
  }
  {
    const RecomputeActivations on(true);
    loss().backward();
  }
  size_t i = 0;
  for (const auto& item : model->named_parameters()) {
    const auto& grad = item.value().grad();
    ASSERT_EQ(grad.defined(), plain[i].defined()) << item.key();
    if (!grad.defined()) {
      ++i;
      continue;
    }
    const auto& expected = plain[i++];
    EXPECT_LT((grad - expected).norm().template item<double>(),
              1e-4 * expected.norm().template item<double>() + 1e-7)
        << item.key();
  }
}

Unet3d small_unet() {
  torch::manual_seed(1);
  Unet3dOptions options;
  options.in_channels = options.out_channels = 3;
  options.dim = 8;
  options.dim_mults = {1, 2};
  options.cond_dim = 4;
  return Unet3d(options);
}

TEST(Recompute, TheDenoiserHasTheSameGradients) {
  auto model = small_unet();
  const auto x = at::randn({2, 3, 4, 8, 8}), t = at::tensor({3, 800}, at::kLong),
             cond = at::randn({2, 4});
  expect_same_gradients(model, [&] { return model->forward(x, t, cond).square().mean(); });
}

TEST(Recompute, TheVqganHasTheSameGradients) {
  torch::manual_seed(1);
  Vqgan3dOptions options;
  options.hidden_channels = options.embedding_dim = 4;
  options.codes = 16;
  options.downsample = {2, 2, 2};
  options.groups = 2;
  Vqgan3d model(options);
  const auto x = at::rand({1, 1, 8, 8, 8});
  model->forward(x);  // makes the codebook
  model->codebook()->eval();
  expect_same_gradients(model, [&] { return (model->forward(x).reconstruction - x).abs().mean(); });
}

TEST(Autocast, TheDenoiserTrainsInBf16CloseToFp32) {
  auto model = small_unet();
  const auto x = at::randn({2, 3, 4, 8, 8}), t = at::tensor({3, 800}, at::kLong),
             cond = at::randn({2, 4});
  const auto gradient = [&](at::ScalarType type, bool recompute) {
    model->zero_grad();
    at::Tensor loss;
    {
      const Autocast precision(at::kCPU, type);
      const RecomputeActivations on(recompute);
      loss = model->forward(x, t, cond).to(at::kFloat).square().mean();
    }
    loss.backward();
    std::vector<at::Tensor> parts;
    for (const auto& p : model->parameters()) {
      if (p.grad().defined()) parts.push_back(p.grad().flatten().to(at::kFloat));
    }
    return at::cat(parts);
  };
  const auto exact = gradient(at::kFloat, false);
  for (const bool recompute : {false, true}) {
    const auto rough = gradient(at::kBFloat16, recompute);
    const double error = (rough - exact).norm().item<double>() / exact.norm().item<double>();
    EXPECT_LT(error, 0.05);
    EXPECT_GT(error, 1e-5) << "nothing was computed in bf16";
  }
}

TEST(Autocast, TheQuantiserStaysExact) {
  torch::manual_seed(1);
  Codebook codebook(CodebookOptions{.codes = 64, .embedding_dim = 4});
  codebook->eval();
  const auto z = at::randn({1, 4, 4, 8, 8});
  const auto exact = codebook->forward(z).indices;
  const Autocast precision(at::kCPU, at::kBFloat16);
  EXPECT_TRUE(at::equal(codebook->forward(z).indices, exact));
}

}  // namespace
}  // namespace x2ctpa
