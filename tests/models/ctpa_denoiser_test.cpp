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

CtpaDenoiser two_views() {
  torch::manual_seed(6);
  CtpaDenoiserOptions o;
  o.views = CxrViews::both;
  o.encoder = {.width = 4, .stages = 2, .feature_channels = 2, .embedding_dim = 6, .groups = 2};
  o.encoder.feature_stage = 1;
  o.unet.dim = 8;
  o.unet.dim_mults = {1, 2};
  CtpaDenoiser model(o, 3, std::array<int64_t, 3>{2, 4, 4},
                     ViewBeams(CxrViews::both, {}, 1550, {60, 60, 60}));
  model->eval();
  return model;
}

TEST(TwoViews, AViewThatIsMissingAddsNothingAndBothAddUp) {
  torch::NoGradGuard no_grad;
  auto model = two_views();
  const auto cxr = torch::rand({1, 2, 16, 16});
  const auto both = model->condition(cxr);
  const auto frontal = model->condition(only_views(cxr, ViewSet::frontal)),
             lateral = model->condition(only_views(cxr, ViewSet::lateral));
  EXPECT_EQ(both.spatial.sizes(), at::IntArrayRef({1, 4, 2, 4, 4}));
  EXPECT_TRUE(at::allclose(both.embedding, frontal.embedding + lateral.embedding, 0, 1e-6));
  EXPECT_TRUE(at::allclose(both.spatial, frontal.spatial + lateral.spatial, 0, 1e-6));
  EXPECT_EQ(frontal.spatial.narrow(1, 2, 2).abs().max().item<double>(), 0);
  EXPECT_EQ(lateral.spatial.narrow(1, 0, 2).abs().max().item<double>(), 0);
  EXPECT_GT(lateral.spatial.narrow(1, 2, 2).abs().max().item<double>(), 0);
}

TEST(TwoViews, BothEncodersLearnFromABatchInWhichSomeLackAView) {
  auto model = two_views();
  model->train();
  auto cxr = torch::rand({3, 2, 16, 16});
  cxr = at::cat({cxr.narrow(0, 0, 1), only_views(cxr.narrow(0, 1, 1), ViewSet::frontal),
                 only_views(cxr.narrow(0, 2, 1), ViewSet::lateral)});
  const auto t = torch::tensor({10, 500, 900});
  model->forward(torch::randn({3, 3, 2, 4, 4}), t, model->condition(cxr))
      .square()
      .mean()
      .backward();
  for (const auto& p : model->named_parameters()) {
    ASSERT_TRUE(!p.value().grad().defined() || at::isfinite(p.value().grad()).all().item<bool>());
    if (p.key().find("encoder") != std::string::npos) {
      EXPECT_GT(p.value().grad().abs().max().item<double>(), 0) << p.key();
    }
  }
}

TEST(TwoViews, RefusesAVisionTransformerAndTheWrongNumberOfBeams) {
  auto o = frozen(false);
  o.views = CxrViews::both;
  expect_error(
      [&] {
        CtpaDenoiser(o, 3, std::array<int64_t, 3>{2, 4, 4},
                     ViewBeams(CxrViews::both, {}, 1550, {60, 60, 60}));
      },
      "small encoder");
  expect_error([&] { make(o); }, "beams of 2 views");
}

TEST(TwoViews, TheSetOfEachIsTold) {
  const auto cxr = torch::rand({1, 2, 4, 4});
  const auto all =
      at::cat({only_views(cxr, ViewSet::lateral), cxr, only_views(cxr, ViewSet::frontal)});
  EXPECT_TRUE(at::equal(view_sets_of(all), torch::tensor({1, 2, 0})));
  expect_error(
      [&] { view_sets_of(only_views(only_views(cxr, ViewSet::lateral), ViewSet::frontal)); },
      "neither view");
  const auto each = torch::arange(6).view({2, 3});
  EXPECT_TRUE(at::equal(of_view_sets(each, torch::tensor({2, 0})), torch::tensor({2, 3})));
  const auto sum =
      over_view_sets(torch::tensor({1, 2, 1}), [&](int64_t set, const at::Tensor& rows) {
        return rows_of(torch::tensor({10, 20, 30}), rows) + set;
      });
  EXPECT_TRUE(at::equal(sum, torch::tensor({11, 22, 31})));
}

}  // namespace
}  // namespace x2ctpa
