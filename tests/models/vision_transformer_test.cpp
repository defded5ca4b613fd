#include <string>

#include "x2ctpa/models/vision_transformer.h"

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

VisionTransformerOptions small(VisionLayout layout) {
  VisionTransformerOptions o;
  o.layout = layout;
  o.image_size = 12;
  o.patch_size = 4;
  o.width = 8;
  o.depth = 2;
  o.heads = 2;
  o.mlp_width = 16;
  o.output_dim = layout == VisionLayout::timm ? 6 : 0;
  return o;
}

TEST(VisionTransformer, GivesATokenPerPatchAndOneForTheClass) {
  torch::NoGradGuard no_grad;
  for (const auto layout : {VisionLayout::timm, VisionLayout::clip}) {
    VisionTransformer model(small(layout));
    const auto out = model->forward(torch::randn({2, 3, 12, 12}));
    EXPECT_EQ(out.tokens.sizes(), at::IntArrayRef({2, 10, 8}));
    EXPECT_EQ(out.pooled.size(1), layout == VisionLayout::timm ? 6 : 8);
  }
}

TEST(VisionTransformer, FeedsAGradientToEveryParameter) {
  for (const auto layout : {VisionLayout::timm, VisionLayout::clip}) {
    VisionTransformer model(small(layout));
    model->forward(torch::randn({2, 3, 12, 12})).pooled.square().mean().backward();
    EXPECT_EQ(test::parameters_without_gradient(*model), "") << word_of(layout);
  }
}

TEST(VisionTransformer, StandardisesXRaysOfAnySize) {
  VisionTransformer model(small(VisionLayout::timm));
  const auto x = model->prepare(torch::full({2, 1, 30, 41}, 0.633 + 0.181));
  EXPECT_EQ(x.sizes(), at::IntArrayRef({2, 3, 12, 12}));
  EXPECT_LT((x - 1).abs().max().item<double>(), 1e-5);
}

TEST(VisionTransformer, EmbedsXRaysAsVectorsOfLengthOne) {
  VisionTransformer model(small(VisionLayout::timm));
  const auto length = model->embed(torch::rand({3, 1, 20, 20})).square().sum(1);
  EXPECT_LT((length - 1).abs().max().item<double>(), 1e-5);
}

TEST(VisionTransformer, RefusesWrongSizesAndOptions) {
  VisionTransformer model(small(VisionLayout::timm));
  expect_error([&] { model->forward(torch::zeros({1, 3, 12, 16})); }, "found (1, 3, 12, 16)");
  auto bad = small(VisionLayout::clip);
  bad.output_dim = 6;
  expect_error([&] { VisionTransformer wrong(bad); }, "found 6");
  bad = small(VisionLayout::timm);
  bad.patch_size = 5;
  expect_error([&] { VisionTransformer wrong(bad); }, "multiple of 5, found 12");
}

TEST(VisionTransformer, HasThePublishedNumbersOfParameters) {
  const auto count = [](const VisionTransformerOptions& o) {
    int64_t sum = 0;
    for (const auto& p : VisionTransformer(o)->parameters()) sum += p.numel();
    return sum;
  };
  EXPECT_EQ(count({}), 86191872);  // ViT-B/16 without its classifier, 85,798,656, and 768 x 512
  auto clip = small(VisionLayout::clip);
  clip.width = 1024;
  clip.image_size = 224;
  clip.patch_size = 14;
  clip.depth = 1;
  clip.heads = 16;
  clip.mlp_width = 4096;
  // CLIP ViT-L/14 has 303,179,776 in 24 blocks of 12,596,224.
  EXPECT_EQ(count(clip) + 23 * 12596224, 303179776);
}

TEST(VisionTransformer, ComputesWhatTransformersComputes) {
  X2CTPA_VECTORS_OR_SKIP("clip_vision_small");
  VisionTransformerOptions o;
  o.layout = VisionLayout::clip;
  o.image_size = 56;
  o.patch_size = 14;
  o.width = 64;
  o.depth = 2;
  o.heads = 4;
  o.mlp_width = 256;
  o.output_dim = 0;
  VisionTransformer model(o);
  const auto file = test::reference_folder() / "clip_vision_small" / "model.safetensors";
  TensorMap tensors;  // this version of transformers leaves the first part of the names out
  for (const auto& [name, tensor] : read_safetensors(file))
    tensors["vision_model." + name] = tensor;
  load_tensors(*model, tensors, file.string());
  const auto v = read_safetensors(test::reference_folder() / "clip_vision_small.safetensors");
  torch::NoGradGuard no_grad;
  const auto out = model->forward(v.at("x"));
  EXPECT_LT(relative_error(out.tokens, v.at("last_hidden_state")), 1e-5);
  EXPECT_LT(relative_error(out.pooled, v.at("pooler_output")), 1e-5);
}

}  // namespace
}  // namespace x2ctpa
