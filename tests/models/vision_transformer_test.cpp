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
  for (const auto layout : {VisionLayout::timm, VisionLayout::clip, VisionLayout::dinov2}) {
    VisionTransformer model(small(layout));
    const auto out = model->forward(torch::randn({2, 3, 12, 12}));
    EXPECT_EQ(out.tokens.sizes(), at::IntArrayRef({2, 10, 8}));
    EXPECT_EQ(out.pooled.size(1), layout == VisionLayout::timm ? 6 : 8);
  }
}

TEST(VisionTransformer, FeedsAGradientToEveryParameter) {
  for (const auto layout : {VisionLayout::timm, VisionLayout::clip, VisionLayout::dinov2}) {
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

TEST(VisionTransformer, OfDinov2ScalesWhatEachLayerAdds) {
  torch::NoGradGuard no_grad;
  VisionTransformer model(small(VisionLayout::dinov2));
  for (auto& p : model->named_parameters()) {
    if (p.key().find("lambda1") != std::string::npos) p.value().zero_();
  }
  // The blocks add nothing: what is left is the norm of patches and positions.
  const auto x = torch::randn({2, 3, 12, 12});
  const auto p = model->named_parameters();
  const auto patches = at::conv2d(x, p["embeddings.patch_embeddings.projection.weight"],
                                  p["embeddings.patch_embeddings.projection.bias"], 4);
  const auto first = p["embeddings.cls_token"].expand({2, 1, 8});
  const auto tokens =
      at::cat({first, patches.flatten(2).transpose(1, 2)}, 1) + p["embeddings.position_embeddings"];
  EXPECT_LT(relative_error(model->forward(x).tokens, at::layer_norm(tokens, {8}, {}, {}, 1e-6)),
            1e-5);
}

TEST(VisionTransformer, OfDinov2FindsPositionsBetweenThoseItWasTrainedFor) {
  torch::NoGradGuard no_grad;
  auto o = small(VisionLayout::dinov2);
  o.positions_side = 5;
  VisionTransformer model(o);
  auto& positions = model->named_parameters()["embeddings.position_embeddings"];
  EXPECT_EQ(positions.sizes(), at::IntArrayRef({1, 26, 8}));
  const auto x = torch::randn({1, 3, 12, 12});
  // Equal positions stay equal.
  positions.copy_(positions.select(1, 3).unsqueeze(1).expand({1, 26, 8}).clone());
  VisionTransformer same(small(VisionLayout::dinov2));
  for (auto& p : same->named_parameters()) {
    const auto& from = model->named_parameters()[p.key()];
    p.value().copy_(p.key() == "embeddings.position_embeddings" ? from.narrow(1, 0, 10) : from);
  }
  EXPECT_LT(relative_error(model->forward(x).tokens, same->forward(x).tokens), 1e-5);
  o.layout = VisionLayout::clip;
  expect_error([&] { VisionTransformer wrong(o); }, "expected positions_side 0, found 5");
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
  VisionTransformerOptions rad_dino;
  rad_dino.layout = VisionLayout::dinov2;
  rad_dino.image_size = 518;
  rad_dino.patch_size = 14;
  rad_dino.output_dim = 0;
  EXPECT_EQ(count(rad_dino), 86579712);  // ViT-B/14 of DINOv2 without its mask token
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
