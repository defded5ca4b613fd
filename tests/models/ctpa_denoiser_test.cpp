#include <array>
#include <string>

#include "x2ctpa/models/ctpa_denoiser.h"

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;

CtpaDenoiserOptions frozen(bool label_guidance) {
  CtpaDenoiserOptions o;
  o.cxr_encoder = CxrEncoding::frozen;
  o.spatial_condition = false;
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

TEST(CtpaDenoiser, LabelGuidanceJoinsTheLabelBehindTheEmbeddingAndUnknownIsTheDefault) {
  auto model = make(frozen(true));
  const auto embedding = torch::randn({2, 6});
  const auto condition = model->condition_from({{}, embedding}, torch::tensor({0, 1})).embedding;
  EXPECT_EQ(condition.sizes(), at::IntArrayRef({2, 7}));
  EXPECT_TRUE(at::equal(condition.narrow(1, 0, 6), embedding)) << "the embedding lost digits";
  EXPECT_EQ(condition[0][6].item<double>(), 0);
  EXPECT_EQ(condition[1][6].item<double>(), 1);
  EXPECT_TRUE(at::equal(model->condition_from({{}, embedding}).embedding.select(1, 6),
                        torch::full({2}, 2.f)));
}

TEST(CtpaDenoiser, TheLabelChangesThePrediction) {
  torch::NoGradGuard no_grad;
  auto model = make(frozen(true));
  const auto embedding = torch::randn({1, 6}), x = torch::randn({1, 3, 2, 4, 4}),
             t = torch::tensor({500});
  const auto with = [&](int64_t label) {
    return model->forward(x, t, model->condition_from({{}, embedding}, torch::tensor({label})));
  };
  EXPECT_GT(test::relative_error(with(label_positive), with(label_negative)), 1e-4);
}

TEST(CtpaDenoiser, RefusesALabelWithoutLabelGuidanceAndGuidanceBesideTokens) {
  auto model = make(frozen(false));
  expect_error(
      [&] {
        model->condition_from({{}, torch::randn({1, 6})}, torch::tensor({1}));
      },
      "without label guidance");
  auto options = frozen(true);
  options.unet.cond_tokens = 3;
  expect_error([&] { make(options); }, "cond_tokens");
}

// A denoiser under patch tokens of a transformer of 2 x 2 patches.
CtpaDenoiser under_tokens(SpatialAlignment alignment) {
  auto o = frozen(false);
  o.spatial_condition = true;
  o.spatial_alignment = alignment;
  o.transformer.image_size = 8;
  o.transformer.patch_size = 4;
  o.transformer.width = 5;
  torch::manual_seed(5);
  BackProjectionGeometry geometry;
  geometry.spacing_xyz_mm = {80, 60, 100};
  CtpaDenoiser model(o, 3, std::array<int64_t, 3>{2, 4, 4}, geometry);
  model->eval();
  return model;
}

TEST(CtpaDenoiser, ThePatchTokensOfAFrozenTransformerReachTheSideOfTheVolumeThatTheyShow) {
  torch::NoGradGuard no_grad;
  auto model = under_tokens(SpatialAlignment::geometry);
  EXPECT_TRUE(model->needs_tokens());
  const auto pooled = torch::randn({1, 6}), tokens = torch::randn({1, 5, 5});
  const auto spatial = model->condition_from({tokens, pooled}).spatial;
  EXPECT_EQ(spatial.sizes(),
            at::IntArrayRef({1, model->options().encoder.feature_channels, 2, 4, 4}));
  auto changed = tokens.clone();
  changed[0][1] += torch::randn({5});  // upper left of the picture: superior, patient right
  const auto difference =
      (model->condition_from({changed, pooled}).spatial - spatial).abs().sum({0, 1, 3});
  EXPECT_GT(difference[1][0].item<double>(), 0);
  EXPECT_EQ(difference[0][3].item<double>(), 0);
}

TEST(CtpaDenoiser, ALearnedAlignmentStartsFromTheGeometryAndHasAGradient) {
  auto model = under_tokens(SpatialAlignment::learned),
       fixed = under_tokens(SpatialAlignment::geometry);
  auto weights = named_tensors(*model);
  weights.erase("alignment.weight");
  weights.erase("alignment.bias");
  load_tensors(*fixed, weights, "the other");
  const VisionFeatures found{torch::randn({2, 5, 5}), torch::randn({2, 6})};
  const auto x = torch::randn({2, 3, 2, 4, 4}), t = torch::tensor({500, 20});
  const auto out = model->forward(x, t, model->condition_from(found));
  EXPECT_LT(test::relative_error(out, fixed->forward(x, t, fixed->condition_from(found))), 1e-5);
  out.square().sum().backward();
  EXPECT_GT(named_tensors(*model).at("alignment.weight").grad().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace x2ctpa
