#include "x2ctpa/models/densenet3d.h"

#include "models/helpers.h"
#include "support/temporary_folder.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_classifier.h"

namespace x2ctpa {
namespace {

using test::expect_error;

DenseNet3dOptions small() {
  DenseNet3dOptions o;
  o.blocks = {1, 2, 1, 1};
  o.channels = 2;
  o.growth = 4;
  o.init_features = 8;
  return o;
}

TEST(DenseNet3d, HasThePublishedNumberOfParametersAtDepth121) {
  // Counted from the published code: 4 input channels, one class.
  DenseNet3dOptions o;
  o.channels = 4;
  int64_t convolutions = 0;
  DenseNet3d model(o);
  for (const auto& p : model->parameters()) convolutions += p.dim() == 5;
  EXPECT_EQ(convolutions, 1 + 2 * (6 + 12 + 24 + 16) + 3);
}

TEST(DenseNet3d, GivesALogitForVolumesAndForPictures) {
  DenseNet3d model(small());
  EXPECT_EQ(model->forward(torch::randn({3, 2, 8, 32, 32})).sizes(), at::IntArrayRef({3, 1}));
  auto options = small();
  options.planar = true;
  DenseNet3d planar(options);
  EXPECT_EQ(planar->forward(torch::randn({3, 2, 48, 40})).sizes(), at::IntArrayRef({3, 1}));
}

TEST(DenseNet3d, TakesLatentsThatShrinkToOneVoxel) {
  DenseNet3d model(small());
  model->eval();
  EXPECT_TRUE(model->forward(torch::randn({1, 2, 6, 12, 12})).isfinite().all().item<bool>());
}

TEST(DenseNet3d, FeedsAGradientToEveryParameter) {
  DenseNet3d model(small());
  model->forward(torch::randn({4, 2, 16, 64, 64})).square().mean().backward();
  EXPECT_EQ(test::parameters_without_gradient(*model), "");
}

TEST(PeNetwork, IsKeptAsAnOrdinaryDensenet) {
  PeNetworkOptions options;
  options.densenet = small();
  PeNetwork network(options);
  const test::TemporaryFolder folder;
  save_module(folder.path(), network->weights(), network->config());
  auto again = load_model<DenseNet3d>(folder.path());
  again->eval();
  network->eval();
  const auto x = torch::randn({1, 2, 8, 32, 32});
  const auto kept = named_tensors(*again);
  for (const auto& [name, tensor] : named_tensors(network->weights()))
    EXPECT_TRUE(tensor.equal(kept.at(name))) << name;
  // Not bit for bit: sums depend on where weights lie in memory, and those of a file are mapped.
  EXPECT_LE(test::relative_error(again->forward(x).squeeze(1), network->forward(x)), 1e-5);
}

TEST(DenseNet3d, RefusesUnknownDepthsAndWrongChannels) {
  DenseNet3dOptions o;
  o.depth = 100;
  expect_error([&] { DenseNet3d bad(o); }, "found 100");
  DenseNet3d model(small());
  expect_error([&] { model->forward(torch::zeros({1, 1, 8, 8, 8})); }, "found (1, 1, 8, 8, 8)");
}

}  // namespace
}  // namespace x2ctpa
