#include "x2ctpa/models/back_projection.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;

BackProjectionGeometry geometry() {
  BackProjectionGeometry g;
  g.beam.source_to_detector_mm = 1000;
  g.beam.source_to_centre_mm = 800;
  g.beam.detector_mm = 400;
  g.spacing_xyz_mm = {10, 20, 5};
  return g;
}

TEST(BackProjection, ProjectsAVoxelToWhereTheConeBeamFormulaSays) {
  const auto c = detector_coordinates(geometry(), {4, 3, 6});
  // d 3, h 2, w 5: x = 2.5 * 10, y = 1 * 20, z = 1.5 * 5 mm
  const double m = 1000.0 / (800.0 - 20.0);
  EXPECT_NEAR(c[3][2][5][0].item<double>(), m * 25.0 / 200.0, 1e-6);
  EXPECT_NEAR(c[3][2][5][1].item<double>(), -m * 7.5 / 200.0, 1e-6);
}

TEST(BackProjection, MagnifiesPosteriorVoxelsMoreThanAnteriorOnes) {
  const auto c = detector_coordinates(geometry(), {2, 9, 2});
  EXPECT_GT(c[0][8][1][0].item<double>(), c[0][0][1][0].item<double>());
}

TEST(BackProjection, PutsTheTopOfThePictureAtTheSuperiorEnd) {
  auto picture = torch::zeros({1, 1, 8, 8});
  picture.narrow(2, 0, 4).fill_(1);  // the upper half
  auto g = geometry();
  g.beam.detector_mm = 60;
  g.spacing_xyz_mm = {10, 10, 10};
  const auto volume = BackProjection(g, {4, 2, 4})(picture);
  EXPECT_EQ(volume.sizes(), at::IntArrayRef({1, 1, 4, 2, 4}));
  EXPECT_NEAR(volume[0][0][3][0][1].item<double>(), 1, 1e-6);
  EXPECT_NEAR(volume[0][0][0][0][1].item<double>(), 0, 1e-6);
}

TEST(BackProjection, KeepsPictureColumnsAlongWAndIsZeroOutsideTheDetector) {
  const auto picture = torch::arange(8, torch::kFloat).view({1, 1, 1, 8}).expand({1, 1, 8, 8}) + 1;
  auto g = geometry();
  g.beam.detector_mm = 40;
  const auto row = BackProjection(g, {2, 1, 8})(picture)[0][0][0][0];
  EXPECT_GT(row[5].item<double>(), row[2].item<double>());
  EXPECT_EQ(row[0].item<double>(), 0);
  EXPECT_EQ(row[7].item<double>(), 0);
}

TEST(BackProjection, CarriesGradientsToTheFeatureMap) {
  const auto picture = torch::rand({2, 3, 8, 8}, torch::requires_grad());
  BackProjection(geometry(), {2, 3, 4})(picture).sum().backward();
  EXPECT_GT(picture.grad().abs().sum().item<double>(), 0);
}

TEST(BackProjection, AnAlignmentMovesAndScalesWhatAVoxelSeesAndLearns) {
  const BackProjection project(geometry(), {2, 3, 8});
  const auto picture = torch::rand({2, 1, 8, 8});
  const auto turned = picture.flip({3}).contiguous();
  const auto identity = torch::tensor({1.f, 0.f, 0.f, 0.f, 1.f, 0.f}).view({1, 2, 3});
  const auto mirror = torch::tensor({-1.f, 0.f, 0.f, 0.f, 1.f, 0.f}).view({1, 2, 3});
  EXPECT_LT((project(picture, identity.expand({2, -1, -1})) - project(picture))
                .abs()
                .max()
                .item<double>(),
            1e-6);
  EXPECT_LT((project(picture, torch::cat({identity, mirror})) -
             project(torch::cat({picture.slice(0, 0, 1), turned.slice(0, 1, 2)})))
                .abs()
                .max()
                .item<double>(),
            1e-6);
  auto learned = identity.clone().set_requires_grad(true);
  project(picture.slice(0, 0, 1), learned).square().sum().backward();
  EXPECT_GT(learned.grad().abs().max().item<double>(), 0);
}

TEST(BackProjection, RefusesAVolumeThatReachesTheSource) {
  auto g = geometry();
  g.beam.source_to_centre_mm = 10;
  expect_error([&] { detector_coordinates(g, {2, 4, 2}); }, "X-ray source");
}

TEST(BackProjection, OfALateralBeamIsThatOfThePatientTurnedByAQuarter) {
  auto lateral = geometry();
  lateral.view = CxrView::lateral;
  const auto c = detector_coordinates(lateral, {4, 3, 6});
  // d 3, h 2, w 5: x = 25, y = 20, z = 7.5 mm; the source lies at x = -800.
  const double m = 1000.0 / (800.0 + 25.0);
  EXPECT_NEAR(c[3][2][5][0].item<double>(), m * 20.0 / 200.0, 1e-6);
  EXPECT_NEAR(c[3][2][5][1].item<double>(), -m * 7.5 / 200.0, 1e-6);
  // The far side is magnified more.
  EXPECT_GT(c[0][2][0][0].item<double>(), c[0][2][5][0].item<double>());
}

}  // namespace
}  // namespace x2ctpa
