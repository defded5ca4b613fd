#include <string>
#include <utility>

#include "x2ctpa/models/unet3d.h"

#include "models/helpers.h"
#include "models/kernels/linear_map.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

Unet3dOptions small() {
  Unet3dOptions o;
  o.in_channels = 5;
  o.out_channels = 3;
  o.dim = 8;
  o.dim_mults = {1, 2};
  o.cond_dim = 6;
  o.attention_heads = 2;
  return o;
}

struct Inputs {
  at::Tensor x = torch::randn({2, 5, 3, 4, 6});
  at::Tensor t = torch::tensor({10, 900});
  at::Tensor cond = torch::randn({2, 6});
};

TEST(Unet3d, PredictsOutChannelsOnTheGridOfTheInput) {
  Unet3d model(small());
  const Inputs in;
  EXPECT_EQ(model->forward(in.x, in.t, in.cond).sizes(), at::IntArrayRef({2, 3, 3, 4, 6}));
}

TEST(Unet3d, MapsAllTokensToTheConditionByOneLinearLayer) {
  auto o = small();
  o.cond_tokens = 5;
  Unet3d model(o);
  const auto named = named_tensors(*model);
  const auto tokens = at::randn({2, 5, o.cond_dim});
  const auto expected =
      tokens.reshape({2, 5 * o.cond_dim}).matmul(named.at("cond_projection.weight").t()) +
      named.at("cond_projection.bias");
  EXPECT_TRUE(at::allclose(model->condition(tokens), expected, 1e-4, 1e-5));
  EXPECT_THROW(model->condition(at::randn({2, 4, o.cond_dim})), Error);
}

TEST(Unet3d, GivesTheSameWithAndWithoutGradients) {
  Unet3d model(small());
  const Inputs in;
  const auto with = model->forward(in.x, in.t, in.cond);
  torch::NoGradGuard no_grad;
  EXPECT_LT(relative_error(model->forward(in.x, in.t, in.cond), with), 1e-4);
}

// A copy of `model` in float64, whose attention along D runs in LibTorch's operators.
Unet3d in_float64(Unet3d& model) {
  Unet3d precise(model->options());
  load_tensors(*precise, named_tensors(*model), "the float32 model");
  precise->to(torch::kDouble);
  return precise;
}

TEST(Unet3d, MapsRowsOfAnyWidthAndStrideAsALinearLayer) {
  const torch::NoGradGuard no_grad;
  for (const auto& [in, out] : {std::pair{1, 1}, {1, 7}, {33, 1}, {64, 96}}) {
    const auto x = at::randn({2, in, 3, 5}).permute({0, 2, 3, 1}), weight = at::randn({out, in}),
               bias = at::randn({out});
    for (const auto& b : {bias, at::Tensor()}) {
      const auto y = unet3d::linear_map(x, weight, b);
      EXPECT_TRUE(y.is_contiguous());
      EXPECT_LE(relative_error(y, at::linear(x, weight, b)), 1e-6) << in << " to " << out;
    }
  }
}

TEST(Unet3d, AttendsAlongDAsInFloat64ForwardAndBackwardAtAnyDepth) {
  for (int64_t depth : {1, 5, 32, 37}) {
    Unet3d model(small());
    Unet3d precise = in_float64(model);
    const auto x = torch::randn({2, 5, depth, 4, 6}), cond = torch::randn({2, 6});
    const auto t = torch::tensor({10, 900});
    const auto y = model->forward(x, t, cond);
    const auto expected = precise->forward(x.to(torch::kDouble), t, cond.to(torch::kDouble));
    EXPECT_LT(relative_error(y.to(torch::kDouble), expected), 1e-5) << depth;
    const auto weights = torch::randn_like(y);
    (y * weights).sum().backward();
    (expected * weights).sum().backward();
    const auto gradients = precise->named_parameters();
    for (const auto& parameter : model->named_parameters()) {
      const auto& found = parameter.value().grad();
      const auto& wanted = gradients[parameter.key()].grad();
      ASSERT_EQ(found.defined(), wanted.defined()) << parameter.key();
      if (!found.defined() || wanted.abs().max().item<double>() < 1e-3) continue;
      EXPECT_LT(relative_error(found.to(torch::kDouble), wanted), 1e-3)
          << parameter.key() << " at depth " << depth;
    }
  }
}

TEST(Unet3d, GivesEachSampleTheSameAloneAsInABatch) {
  Unet3d model(small());
  const Inputs in;
  torch::NoGradGuard no_grad;
  const auto both = model->forward(in.x, in.t, in.cond);
  for (int64_t i = 0; i < 2; ++i) {
    const auto alone =
        model->forward(in.x.narrow(0, i, 1), in.t.narrow(0, i, 1), in.cond.narrow(0, i, 1));
    EXPECT_LT(relative_error(alone, both.narrow(0, i, 1)), 1e-4);
  }
}

TEST(Unet3d, DoesNotChangeItsInputs) {
  Unet3d model(small());
  const Inputs in;
  const auto x = in.x.clone(), cond = in.cond.clone();
  torch::NoGradGuard no_grad;
  model->forward(in.x, in.t, in.cond);
  EXPECT_TRUE(in.x.equal(x));
  EXPECT_TRUE(in.cond.equal(cond));
}

TEST(Unet3d, IgnoresTheConditionOfDroppedSamplesOnly) {
  Unet3d model(small());
  const Inputs in;
  const auto drop = torch::tensor({true, false});
  torch::NoGradGuard no_grad;
  const auto a = model->forward(in.x, in.t, in.cond, drop);
  const auto b = model->forward(in.x, in.t, torch::randn({2, 6}), drop);
  EXPECT_TRUE(a[0].equal(b[0]));
  EXPECT_FALSE(a[1].allclose(b[1]));
}

TEST(Unet3d, FeedsAGradientToEveryParameter) {
  Unet3d model(small());
  const Inputs in;
  model->forward(in.x, in.t, in.cond, torch::tensor({true, false})).square().mean().backward();
  EXPECT_EQ(test::parameters_without_gradient(*model), "");
}

TEST(Unet3d, HasTheGradientThatFiniteDifferencesGive) {
  Unet3d model(small());
  const Inputs in;
  const auto direction = torch::randn_like(in.x);
  auto x = in.x.clone().requires_grad_();
  const auto weights = torch::randn({2, 3, 3, 4, 6});
  (model->forward(x, in.t, in.cond) * weights).sum().backward();
  const double analytic = (x.grad() * direction).sum().item<double>();
  const auto value = [&](double step) {
    torch::NoGradGuard no_grad;
    return (model->forward(in.x + step * direction, in.t, in.cond) * weights).sum().item<double>();
  };
  EXPECT_NEAR((value(1e-2) - value(-1e-2)) / 2e-2, analytic, 0.02 * std::abs(analytic) + 0.02);
}

TEST(Unet3d, LeavesOutTheAttentionOfChosenLevels) {
  auto options = small();
  options.without_spatial_attention = {0};
  options.without_temporal_attention = {0, 1};
  Unet3d model(options);
  for (const auto& item : model->named_parameters()) {
    EXPECT_EQ(item.key().find("down0.spatial_attention"), std::string::npos);
    EXPECT_EQ(item.key().find("down1.temporal_attention"), std::string::npos);
    EXPECT_EQ(item.key().find("init_temporal"), std::string::npos);
  }
  const Inputs in;
  EXPECT_EQ(model->forward(in.x, in.t, in.cond).size(1), 3);
}

TEST(Unet3d, WorksWithoutACondition) {
  auto options = small();
  options.cond_dim = 0;
  Unet3d model(options);
  const Inputs in;
  EXPECT_EQ(model->forward(in.x, in.t).size(0), 2);
  expect_error([&] { model->forward(in.x, in.t, in.cond); }, "no condition");
}

TEST(Unet3d, TakesRealTimestepsAsIntegerOnes) {
  Unet3d model(small());
  const Inputs in;
  torch::NoGradGuard no_grad;
  EXPECT_TRUE(model->forward(in.x, in.t, in.cond)
                  .equal(model->forward(in.x, in.t.to(torch::kFloat), in.cond)));
}

TEST(Unet3d, IsNearItselfInBfloat16) {
  Unet3d model(small());
  const Inputs in;
  torch::NoGradGuard no_grad;
  const auto exact = model->forward(in.x, in.t, in.cond);
  model->to(torch::kBFloat16);
  EXPECT_EQ(named_tensors(*model).at("rotary_frequencies").scalar_type(), torch::kFloat);
  const auto rough = model->forward(in.x.to(torch::kBFloat16), in.t, in.cond).to(torch::kFloat);
  EXPECT_LT(((rough - exact).norm() / exact.norm()).item<double>(), 0.03);
}

TEST(Unet3d, RefusesSizesThatDoNotHalveAndWrongChannels) {
  Unet3d model(small());
  const Inputs in;
  expect_error(
      [&] {
        model->forward(torch::zeros({2, 5, 3, 5, 6}), in.t, in.cond);
      },
      "multiple of 2, found 5");
  expect_error(
      [&] {
        model->forward(torch::zeros({2, 4, 3, 4, 6}), in.t, in.cond);
      },
      "found (2, 4, 3, 4, 6)");
  expect_error([&] { model->forward(in.x, in.t, torch::zeros({2, 7})); }, "found (2, 7)");
}

}  // namespace
}  // namespace x2ctpa
