#include "x2ctpa/models/lpips.h"

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

TEST(Lpips, CarriesTheNamesOfThePublishedWeights) {
  const auto tensors = named_tensors(*Lpips());
  EXPECT_EQ(tensors.size(), 2u * 13u + 5u);
  EXPECT_EQ(tensors.at("features.0.weight").sizes(), at::IntArrayRef({64, 3, 3, 3}));
  EXPECT_EQ(tensors.at("features.28.bias").sizes(), at::IntArrayRef({512}));
  EXPECT_EQ(tensors.at("lin4.model.1.weight").sizes(), at::IntArrayRef({1, 512, 1, 1}));
}

TEST(Lpips, IsZeroForTheSamePictureAndSymmetric) {
  Lpips model;
  torch::NoGradGuard no_grad;
  const auto x = torch::rand({2, 3, 16, 20}) * 2 - 1, y = torch::rand({2, 3, 16, 20}) * 2 - 1;
  EXPECT_EQ(model->forward(x, x).abs().max().item<double>(), 0);
  EXPECT_EQ(model->forward(x, y).sizes(), at::IntArrayRef({2}));
  EXPECT_LT(relative_error(model->forward(x, y), model->forward(y, x)), 1e-5);
}

TEST(Lpips, TakesAGreyPictureAsThreeEqualChannels) {
  Lpips model;
  torch::NoGradGuard no_grad;
  const auto x = torch::rand({1, 1, 16, 16}), y = torch::rand({1, 1, 16, 16});
  const auto expected = model->forward(x.repeat({1, 3, 1, 1}), y.repeat({1, 3, 1, 1}));
  EXPECT_LT(relative_error(model->forward(x, y), expected), 1e-5);
}

// With kernels that pass on the first channel alone, every pixel's features of length 1 are the
// same in both pictures, unless the first channel is dark in one: then they are 0 there.
TEST(Lpips, SumsTheSquaredDistancesOfUnitFeaturesOverTheLayers) {
  Lpips model;
  torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : named_tensors(*model)) {
    auto t = tensor;
    t.zero_();
    if (name.find("features") == 0 && t.dim() == 4) t.index_put_({0, 0, 1, 1}, 1);
    if (name.find("lin") == 0) t.fill_(0.5);
  }
  const auto bright = torch::ones({1, 3, 16, 16}), dark = -bright;
  EXPECT_NEAR(model->forward(bright, dark).item<double>(), 5 * 0.5, 1e-5);
  EXPECT_NEAR(model->forward(bright, 0.3 * bright).item<double>(), 0, 1e-6);
}

TEST(Lpips, IsFrozenAndFeedsAGradientToBothPictures) {
  Lpips model;
  auto x = torch::rand({1, 3, 16, 16}).requires_grad_(),
       y = torch::rand({1, 3, 16, 16}).requires_grad_();
  model->forward(x, y).sum().backward();
  EXPECT_GT(x.grad().abs().max().item<double>(), 0);
  EXPECT_GT(y.grad().abs().max().item<double>(), 0);
  EXPECT_FALSE(model->parameters()[0].requires_grad());
}

TEST(Lpips, RefusesPicturesThatAreTooSmallOrDifferInShape) {
  Lpips model;
  const auto x = torch::zeros({1, 3, 16, 16});
  expect_error([&] { model->forward(x, torch::zeros({1, 3, 16, 18})); }, "found (1, 3, 16, 16)");
  expect_error([&] { model->forward(torch::zeros({1, 3, 8, 8}), x); }, "found 8x8");
}

}  // namespace
}  // namespace x2ctpa
