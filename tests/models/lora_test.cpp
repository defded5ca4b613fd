#include <algorithm>
#include <string>

#include "x2ctpa/models/lora.h"

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/unet3d.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

Unet3d small_unet() {
  torch::manual_seed(3);
  Unet3dOptions o;
  o.in_channels = 3;
  o.out_channels = 3;
  o.dim = 8;
  o.dim_mults = {1, 2};
  o.cond_dim = 6;
  o.attention_heads = 2;
  return Unet3d(o);
}

// Updates that are not zero, so that each half has a gradient.
void fill(Lora& lora) {
  torch::NoGradGuard no_grad;
  torch::manual_seed(4);
  for (auto& p : lora->parameters()) p.normal_(0, 0.1);
}

at::Tensor output(Unet3d& unet) {
  torch::manual_seed(5);
  return unet->forward(torch::randn({2, 3, 2, 4, 4}), torch::tensor({10, 900}),
                       torch::randn({2, 6}));
}

TEST(Lora, StartsAsTheModelThatItIsMadeFor) {
  auto unet = small_unet();
  const auto before = output(unet).detach();
  Lora lora(*unet, LoraOptions{2, 2, 1.0});
  lora->apply();
  EXPECT_TRUE(at::equal(output(unet).detach(), before));
}

TEST(Lora, GradientsOfBothHalvesFollowFromThoseOfTheWholeWeights) {
  auto unet = small_unet();
  Lora lora(*unet, LoraOptions{2, 3, 0.5});
  fill(lora);
  lora->apply();
  output(unet).square().sum().backward();
  const auto named = named_tensors(*lora);

  auto whole = small_unet();  // with the sums as ordinary weights
  {
    torch::NoGradGuard no_grad;
    load_tensors(*whole, named_tensors(*unet), "the updated weights");
  }
  output(whole).square().sum().backward();
  int64_t checked = 0;
  for (const auto& item : whole->named_parameters()) {
    std::string layer = item.key().substr(0, item.key().rfind('.'));
    std::replace(layer.begin(), layer.end(), '.', '/');
    const auto down = named.find(layer + "/lora_down"), up = named.find(layer + "/lora_up");
    if (down == named.end() || item.key().find(".weight") == std::string::npos) continue;
    const auto g = item.value().grad().flatten(1);
    EXPECT_LT(relative_error(up->second.grad(), 0.5 * g.matmul(down->second.detach().t())), 1e-4)
        << layer;
    EXPECT_LT(relative_error(down->second.grad(), 0.5 * up->second.detach().t().matmul(g)), 1e-4)
        << layer;
    ++checked;
  }
  EXPECT_EQ(checked, lora->layers());
}

TEST(Lora, NothingButTheUpdatesCanBeTrained) {
  auto unet = small_unet();
  Lora lora(*unet, LoraOptions{2, 0, 1.0});
  for (const auto& p : unet->parameters()) EXPECT_FALSE(p.requires_grad());
  for (const auto& p : lora->parameters()) EXPECT_TRUE(p.requires_grad());
}

TEST(Lora, LeavesAnOrdinaryModelBehindWithoutGradients) {
  auto unet = small_unet();
  const auto base = named_tensors(*unet).at("mid_block1.block1.proj.weight").detach().clone();
  Lora lora(*unet, LoraOptions{0, 2, 2.0});
  fill(lora);
  lora->apply();
  {
    torch::NoGradGuard no_grad;
    lora->apply();
  }
  const auto named = named_tensors(*lora);
  const auto merged = named_tensors(*unet).at("mid_block1.block1.proj.weight");
  EXPECT_FALSE(merged.requires_grad());
  const auto update = named.at("mid_block1/block1/proj/lora_up")
                          .matmul(named.at("mid_block1/block1/proj/lora_down"));
  EXPECT_LT(relative_error(merged, base + 2 * update.detach().view(base.sizes())), 1e-6);
}

TEST(Lora, RanksChooseLinearLayersAndConvolutions) {
  auto unet = small_unet();
  const auto named = [&](LoraOptions options) { return named_tensors(*Lora(*unet, options)); };
  const auto linear = named({1, 0, 1.0}), convolutions = named({0, 1, 1.0});
  EXPECT_TRUE(linear.count("down0/temporal_attention/to_qkv/lora_up"));
  EXPECT_FALSE(linear.count("init_conv/lora_up"));
  EXPECT_FALSE(linear.count("position_bias/lora_up")) << "a table is no layer";
  EXPECT_TRUE(convolutions.count("init_conv/lora_up"));
  EXPECT_FALSE(convolutions.count("down0/temporal_attention/to_qkv/lora_up"));
  expect_error([&] { named({0, 0, 1.0}); }, "lora.rank");
}

}  // namespace
}  // namespace x2ctpa
