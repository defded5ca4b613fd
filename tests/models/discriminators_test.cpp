#include "x2ctpa/models/discriminators.h"

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;

DiscriminatorPairOptions small() { return {.channels = 1, .hidden_channels = 4, .layers = 3}; }

TEST(Discriminators, GiveThePublishedSizesAndFeatures) {
  DiscriminatorPair pair(small());
  const auto planar = pair->slices(torch::randn({2, 1, 16, 16}));
  EXPECT_EQ(planar.logits.sizes(), at::IntArrayRef({2, 1, 5, 5}));
  const auto solid = pair->volumes(torch::randn({2, 1, 8, 16, 16}));
  EXPECT_EQ(solid.logits.sizes(), at::IntArrayRef({2, 1, 4, 5, 5}));
  ASSERT_EQ(solid.features.size(), 5u);
  EXPECT_EQ(solid.features[1].sizes(), at::IntArrayRef({2, 8, 3, 5, 5}));
  EXPECT_TRUE(solid.features[4].equal(solid.logits));
}

TEST(Discriminators, CarryTheNamesOfThePublishedCheckpoint) {
  const auto tensors = named_tensors(*DiscriminatorPair(small()));
  EXPECT_EQ(tensors.size(), 50u);
  EXPECT_EQ(tensors.at("image_discriminator.model0.0.weight").sizes(),
            at::IntArrayRef({4, 1, 4, 4}));
  EXPECT_EQ(tensors.at("video_discriminator.model2.1.running_var").sizes(), at::IntArrayRef({16}));
  EXPECT_EQ(tensors.at("video_discriminator.model4.0.weight").sizes(),
            at::IntArrayRef({1, 32, 4, 4, 4}));
}

TEST(Discriminators, OfLatentsHaveTheSizesAndNamesOfMonai) {
  LatentDiscriminator model(
      LatentDiscriminatorOptions{.channels = 4, .hidden_channels = 2, .layers = 4, .kernel = 3});
  const auto out = model->forward(torch::randn({2, 4, 16, 16, 16}));
  EXPECT_EQ(out.logits.sizes(), at::IntArrayRef({2, 1, 1, 1, 1}));
  EXPECT_EQ(out.features.size(), 6u);
  const auto tensors = named_tensors(*model);
  EXPECT_EQ(tensors.count("initial_conv.conv.bias"), 1u);
  EXPECT_EQ(tensors.count("0.conv.bias"), 0u);
  EXPECT_EQ(tensors.at("3.adn.N.weight").sizes(), at::IntArrayRef({32}));
  EXPECT_EQ(tensors.at("final_conv.conv.weight").sizes(), at::IntArrayRef({1, 32, 3, 3, 3}));
}

TEST(Discriminators, FeedAGradientToEveryParameter) {
  DiscriminatorPair pair(small());
  const auto x = torch::randn({2, 1, 8, 16, 16});
  (pair->volumes(x).logits.square().mean() + pair->slices(x.select(2, 3)).logits.square().mean())
      .backward();
  EXPECT_EQ(test::parameters_without_gradient(*pair), "");
}

TEST(Discriminators, RefuseOtherChannelsAndDimensions) {
  DiscriminatorPair pair(small());
  expect_error([&] { pair->slices(torch::zeros({1, 3, 16, 16})); }, "found (1, 3, 16, 16)");
  expect_error([&] { pair->volumes(torch::zeros({1, 1, 16, 16})); }, "found (1, 1, 16, 16)");
}

}  // namespace
}  // namespace x2ctpa
