#include "x2ctpa/models/volume_refiner.h"

#include <torch/nn/init.h>
#include <array>

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;

VolumeRefiner small_refiner(std::array<int64_t, 3> grid) {
  VolumeRefinerOptions options;
  options.width = 8;
  options.inner_width = 8;
  options.blocks = 1;
  BackProjectionGeometry geometry;
  geometry.spacing_xyz_mm = {30, 30, 30};
  return VolumeRefiner(options, grid, geometry);
}

TEST(VolumeRefiner, ChangesNothingBeforeItIsTrained) {
  torch::manual_seed(1);
  const auto x = torch::randn({2, 1, 8, 6, 8});
  EXPECT_TRUE(at::equal(small_refiner({8, 6, 8})->forward(x, torch::rand({2, 1, 32, 32})), x));
}

TEST(VolumeRefiner, TakesGridsThatCannotBeHalvedTwice) {
  torch::manual_seed(1);
  auto refiner = small_refiner({5, 3, 7});
  for (auto& p : refiner->parameters()) torch::nn::init::normal_(p, 0, 0.1);
  const auto x = torch::randn({1, 1, 5, 3, 7});
  const auto y = refiner->forward(x, torch::rand({1, 1, 16, 16}));
  EXPECT_EQ(y.sizes(), x.sizes());
  EXPECT_GT((y - x).abs().min().item<double>(), 0);
}

TEST(VolumeRefiner, EveryWeightLearnsOnceTheLastOneDoes) {
  torch::manual_seed(2);
  auto refiner = small_refiner({8, 4, 8});
  for (auto& p : refiner->parameters()) torch::nn::init::normal_(p, 0, 0.1);
  refiner->forward(torch::randn({1, 1, 8, 4, 8}), torch::rand({1, 1, 32, 32}))
      .square()
      .sum()
      .backward();
  for (const auto& p : refiner->named_parameters())
    EXPECT_GT(p.value().grad().abs().sum().item<double>(), 0) << p.key();
}

TEST(VolumeRefiner, ReadsTheXRayWhereTheVoxelsShadowFalls) {
  torch::manual_seed(3);
  auto refiner = small_refiner({8, 4, 8});
  for (auto& p : refiner->parameters()) torch::nn::init::normal_(p, 0, 0.1);
  const auto x = torch::zeros({1, 1, 8, 4, 8});
  auto cxr = torch::full({1, 1, 64, 64}, 0.5);
  const auto before = refiner->forward(x, cxr);
  // Upper left corner of the X-ray: superior, to the patient's right.
  cxr.slice(2, 8, 16).slice(3, 16, 24).fill_(1);
  const auto change = (refiner->forward(x, cxr) - before).abs().sum({0, 1, 3});  // (D, W)
  const auto place = change.flatten().argmax().item<int64_t>();
  EXPECT_GE(place / 8, 4);
  EXPECT_LT(place % 8, 4);
}

TEST(VolumeRefiner, RefusesOtherShapes) {
  auto refiner = small_refiner({8, 4, 8});
  expect_error(
      [&] {
        refiner->forward(torch::zeros({1, 2, 8, 4, 8}), torch::zeros({1, 1, 8, 8}));
      },
      "refiner: volumes");
}

TEST(VolumeRefiner, ReadsTheLateralXRayAtItsHeightAndDoesWithoutEither) {
  torch::manual_seed(4);
  VolumeRefinerOptions options;
  options.width = options.inner_width = 8;
  options.blocks = 1;
  options.views = CxrViews::both;
  VolumeRefiner refiner(options, std::array<int64_t, 3>{8, 4, 8},
                        ViewBeams(CxrViews::both, {}, 1550, {30, 30, 30}));
  for (auto& p : refiner->parameters()) torch::nn::init::normal_(p, 0, 0.1);
  const auto x = torch::zeros({1, 1, 8, 4, 8});
  auto cxr = torch::full({1, 2, 64, 64}, 0.5);
  const auto before = refiner->forward(x, cxr);
  cxr.select(1, 1).slice(1, 16, 20).fill_(1);  // high in the lateral X-ray
  const auto change = (refiner->forward(x, cxr) - before).abs().sum({0, 1, 3, 4});  // (D)
  EXPECT_GT(change.argmax().item<int64_t>(), 3);
  for (const ViewSet set : {ViewSet::frontal, ViewSet::lateral})
    EXPECT_TRUE(at::isfinite(refiner->forward(x, only_views(cxr, set))).all().item<bool>());
}

}  // namespace
}  // namespace x2ctpa
