#include "x2ctpa/models/cxr_encoder.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;

CxrEncoderOptions small() {
  CxrEncoderOptions o;
  o.width = 4;
  o.stages = 3;
  o.feature_channels = 5;
  o.embedding_dim = 7;
  return o;
}

TEST(CxrEncoder, GivesAnEmbeddingAndAFeatureMap) {
  CxrEncoder model(small());
  const auto out = model->forward(torch::rand({2, 1, 32, 32}));
  EXPECT_EQ(out.embedding.sizes(), at::IntArrayRef({2, 7}));
  EXPECT_EQ(out.map.sizes(), at::IntArrayRef({2, 5, 8, 8}));
}

TEST(CxrEncoder, FeedsAGradientToEveryParameter) {
  CxrEncoder model(small());
  const auto out = model->forward(torch::rand({2, 1, 32, 32}));
  (out.embedding.square().mean() + out.map.square().mean()).backward();
  EXPECT_EQ(test::parameters_without_gradient(*model), "");
}

TEST(CxrEncoder, StandardisesByTheMeanAndDeviationOfItsOptions) {
  auto scaled = small();
  scaled.mean = 0.4;
  scaled.std = 0.1;
  auto plain = small();
  plain.mean = 0;
  plain.std = 1;
  torch::manual_seed(3);
  CxrEncoder a(scaled);
  torch::manual_seed(3);
  CxrEncoder b(plain);
  const auto x = torch::rand({1, 1, 32, 32});
  EXPECT_TRUE(a->forward(x).embedding.allclose(b->forward((x - 0.4) / 0.1).embedding, 1e-4, 1e-5));
}

TEST(CxrEncoder, RefusesColourAndSizesThatDoNotHalve) {
  CxrEncoder model(small());
  expect_error([&] { model->forward(torch::rand({1, 3, 32, 32})); }, "found (1, 3, 32, 32)");
  expect_error([&] { model->forward(torch::rand({1, 1, 30, 32})); }, "multiple of 8, found 30");
}

}  // namespace
}  // namespace x2ctpa
