#include "x2ctpa/models/ctpa_denoiser.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using testing::expect_error;

CtpaDenoiserOptions frozen(bool label_guidance) {
  CtpaDenoiserOptions o;
  o.cxr_encoder = "frozen";
  o.encoder.embedding_dim = 6;
  o.label_guidance = label_guidance;
  o.unet.dim = 8;
  o.unet.dim_mults = {1, 2};
  return o;
}

CtpaDenoiser make(const CtpaDenoiserOptions& options) {
  torch::manual_seed(5);
  CtpaDenoiser model(options, 3, std::array<int64_t, 3>{2, 4, 4}, BackProjectionGeometry{});
  model->eval();
  return model;
}

TEST(CtpaDenoiser, label_guidance_joins_the_label_behind_the_embedding_and_unknown_is_the_default) {
  auto model = make(frozen(true));
  const auto embedding = torch::randn({2, 6});
  const auto condition = model->frozen_condition(embedding, torch::tensor({0, 1})).embedding;
  EXPECT_EQ(condition.sizes(), at::IntArrayRef({2, 7}));
  EXPECT_TRUE(at::equal(condition.narrow(1, 0, 6), embedding)) << "the embedding lost digits";
  EXPECT_EQ(condition[0][6].item<double>(), 0);
  EXPECT_EQ(condition[1][6].item<double>(), 1);
  EXPECT_TRUE(
      at::equal(model->frozen_condition(embedding).embedding.select(1, 6), torch::full({2}, 2.f)));
}

TEST(CtpaDenoiser, the_label_changes_the_prediction) {
  torch::NoGradGuard no_grad;
  auto model = make(frozen(true));
  const auto embedding = torch::randn({1, 6}), x = torch::randn({1, 3, 2, 4, 4}),
             t = torch::tensor({500});
  const auto with = [&](int64_t label) {
    return model->forward(x, t, model->frozen_condition(embedding, torch::tensor({label})));
  };
  EXPECT_GT(testing::relative_error(with(label_positive), with(label_negative)), 1e-4);
}

TEST(CtpaDenoiser, refuses_a_label_without_label_guidance_and_guidance_beside_tokens) {
  auto model = make(frozen(false));
  expect_error(
      [&] {
        model->frozen_condition(torch::randn({1, 6}), torch::tensor({1}));
      },
      "without label guidance");
  auto options = frozen(true);
  options.unet.cond_tokens = 3;
  expect_error([&] { make(options); }, "cond_tokens");
}

}  // namespace
}  // namespace x2ctpa
