#include "x2ctpa/imaging/drr/drr.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <array>
#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

Volume air(std::array<int64_t, 3> size_dhw, Vec3 spacing) {
  Volume volume;
  volume.hu = at::full({size_dhw[0], size_dhw[1], size_dhw[2]}, -1000.0f);
  volume.spacing_mm = spacing;
  volume.origin_mm = {-70, 35, -410};
  return volume;
}

// (row, column) at which a point lands: the beam's rays spread from the source, behind the patient
// (larger y) in a PA film and before him in an AP one.
std::array<double, 2> landing(const Vec3& point, const Vec3& centre, const DrrOptions& options) {
  const ProjectionGeometry& g = options.geometry;
  const double side = options.view == BeamView::ap ? -1 : 1;
  const double source_y = centre[1] + side * g.source_to_centre_mm;
  const double m = g.source_to_detector_mm / std::abs(source_y - point[1]);
  const double pitch = g.detector_mm / double(options.size),
               middle = (double(options.size) - 1) / 2;
  return {middle - m * (point[2] - centre[2]) / pitch, middle + m * (point[0] - centre[0]) / pitch};
}

TEST(Drr, PointMarkerLandsWhereTheFormulaSays) {
  Volume volume = air({40, 30, 50}, {3, 4, 5});
  const double angle = 0.06;  // an oblique grid
  volume.direction = {
      {{std::cos(angle), -std::sin(angle), 0}, {std::sin(angle), std::cos(angle), 0}, {0, 0, 1}}};
  volume.hu[31][22][9] = 2000;
  DrrOptions options;
  options.size = 215;
  options.step_mm = 0.5;
  const Vec3 centre{2, 90, -300};
  const auto picture = render_drr(volume, options, centre).to(at::kDouble);
  const auto grid = at::arange(215, at::kDouble);
  const double total = picture.sum().item<double>();
  const double row = (picture.sum(1) * grid).sum().item<double>() / total;
  const double column = (picture.sum(0) * grid).sum().item<double>() / total;
  const auto expected = landing(volume.point({9, 22, 31}), centre, options);
  EXPECT_NEAR(row, expected[0], 0.1);
  EXPECT_NEAR(column, expected[1], 0.1);
}

TEST(Drr, UniformBlockGivesThicknessTimesAttenuation) {
  Volume water = air({60, 40, 60}, {4, 3, 4});
  water.hu.zero_();
  DrrOptions options;
  options.size = 65;  // the central pixel looks along the central ray
  const auto picture = render_drr(water, options);
  EXPECT_NEAR(picture[32][32].item<double>(), 40 * 3 * options.mu_water_per_mm, 1e-4);
}

TEST(Drr, BoneAttenuatesMoreThanItsHuAlone) {
  DrrOptions options;
  const auto mu = attenuation(at::tensor({-1000.0f, -2000.0f, 0.0f, 100.0f, 1100.0f}), options);
  EXPECT_EQ(mu[0].item<float>(), 0);
  EXPECT_EQ(mu[1].item<float>(), 0);
  EXPECT_NEAR(mu[2].item<double>(), 0.0206, 1e-6);
  EXPECT_NEAR(mu[3].item<double>(), 0.0206 * 1.1, 1e-6);
  EXPECT_NEAR(mu[4].item<double>(), 0.0206 * (2.1 + 0.45), 1e-6);
}

TEST(Drr, RaysThatMissTheVolumeSeeNothing) {
  Volume water = air({10, 10, 10}, {4, 4, 4});
  water.hu.zero_();
  const auto picture = render_drr(water, DrrOptions());
  EXPECT_EQ(picture[0][0].item<float>(), 0);
  EXPECT_GT(picture[128][128].item<float>(), 0);
}

TEST(Drr, FinerStepsChangeLittle) {
  torch::manual_seed(1);
  Volume volume = air({30, 30, 30}, {5, 5, 5});
  volume.hu = at::randn({30, 30, 30}) * 100;
  DrrOptions coarse, fine;
  coarse.size = fine.size = 48;
  coarse.step_mm = 2.5;
  fine.step_mm = 0.25;
  const auto a = render_drr(volume, coarse), b = render_drr(volume, fine);
  EXPECT_LT((a - b).abs().max().item<double>(), 0.02 * b.max().item<double>());
}

TEST(Drr, SourceInsideTheVolumeIsRefused) {
  const Volume volume = air({10, 100, 10}, {4, 40, 4});
  EXPECT_THROW(render_drr(volume, DrrOptions()), Error);
}

// A small volume of random HU, and the same turned by so little that only the renderer differs.
Volume random_volume() {
  torch::manual_seed(4);
  Volume volume = air({22, 25, 28}, {6, 5, 7});
  volume.hu = at::randn({22, 25, 28}) * 300;
  return volume;
}

Volume barely_turned(Volume volume) {
  const double angle = 1e-5;
  volume.direction = {
      {{std::cos(angle), -std::sin(angle), 0}, {std::sin(angle), std::cos(angle), 0}, {0, 0, 1}}};
  return volume;
}

TEST(Drr, LayerByLayerAndRayByRayGiveTheSamePicture) {
  const Volume volume = random_volume();
  for (const auto view : {BeamView::pa, BeamView::ap})
    for (const auto method : {DrrMethod::siddon, DrrMethod::trilinear}) {
      DrrOptions options;
      options.size = 40;
      options.geometry.source_to_detector_mm = 700;
      options.geometry.source_to_centre_mm = 500;
      options.step_mm = 0.2;
      options.view = view, options.method = method;
      const auto layers = render_drr(volume, options, Vec3{20, 90, -340});
      const auto rays = render_drr(barely_turned(volume), options, Vec3{20, 90, -340});
      const double tolerance = options.method == DrrMethod::siddon ? 0.002 : 0.01;
      EXPECT_LT((layers - rays).abs().max().item<double>(), tolerance * layers.max().item<double>())
          << word_of(view) << word_of(method);
    }
}

TEST(Drr, SiddonIsTheExactIntegralOfPiecewiseConstantVoxels) {
  // One voxel filled: the integral along a ray is the length of the ray in that voxel.
  Volume volume = air({9, 9, 9}, {10, 10, 10});
  volume.hu[4][4][4] = 0;
  DrrOptions options;
  options.size = 101;
  options.geometry.detector_mm = 101;
  options.geometry.source_to_detector_mm = 400;
  options.geometry.source_to_centre_mm = 200;
  options.method = DrrMethod::siddon;
  const auto picture = render_drr(volume, options, volume.centre_mm());
  EXPECT_NEAR(picture[50][50].item<double>(), 10 * options.mu_water_per_mm, 1e-5);
  // A ray through the corner column u, v = 9 mm: at y = 195..205 mm from the source it is 4.3875 to
  // 4.6125 mm off the axis, inside the voxel of half width 5.
  const double length = 10 * std::sqrt(1 + 2 * std::pow(9.0 / 400, 2));
  EXPECT_NEAR(picture[41][59].item<double>(), length * options.mu_water_per_mm, 1e-5);
  // At u = 10 mm it leaves through the side where 10 y / 400 = 5, in the middle.
  const double half = 5 * std::sqrt(1 + std::pow(10.0 / 400, 2));
  EXPECT_NEAR(picture[50][60].item<double>(), half * options.mu_water_per_mm, 1e-4);
}

TEST(Drr, LayersThickerThanTheyAreWideAreDividedUntilSiddonIsExact) {
  Volume volume = random_volume();
  volume.spacing_mm = {2, 20, 2};
  DrrOptions options;
  options.size = 30;
  options.geometry.detector_mm = 200;
  options.geometry.source_to_detector_mm = 1000;
  options.geometry.source_to_centre_mm = 600;
  options.method = DrrMethod::siddon;
  const auto layers = render_drr(volume, options),
             rays = render_drr(barely_turned(volume), options);
  EXPECT_LT((layers - rays).abs().max().item<double>(), 0.005 * layers.max().item<double>());
}

TEST(Drr, FromTheFrontThePatientsRightStaysOnTheLeft) {
  Volume volume = air({40, 30, 50}, {3, 4, 5});
  volume.hu[31][22][9] = 2000;
  DrrOptions options;
  options.view = BeamView::ap;
  options.size = 215;
  const Vec3 centre{2, 90, -300};
  const auto picture = render_drr(volume, options, centre);
  const auto at = picture.argmax().item<int64_t>();
  const auto expected = landing(volume.point({9, 22, 31}), centre, options);
  EXPECT_NEAR(double(at / 215), expected[0], 1);
  EXPECT_NEAR(double(at % 215), expected[1], 1);
  // Farther from the source than the centre of the beam is from it: less magnified than in PA.
  DrrOptions pa = options;
  pa.view = BeamView::pa;
  const auto point = volume.point({9, 29, 31});
  EXPECT_LT(std::abs(landing(point, centre, options)[1] - 107),
            std::abs(landing(point, centre, pa)[1] - 107));
}

TEST(Drr, LungKeepsItsAttenuationBelowMinusEightHundredHu) {
  const auto mu = attenuation(at::tensor({-950.0f, -850.0f, -800.0f}), DrrOptions());
  EXPECT_NEAR(mu[0].item<double>(), 0.0206 * 0.05, 1e-7);
  EXPECT_NEAR(mu[1].item<double>(), 0.0206 * 0.15, 1e-7);
  EXPECT_NEAR(mu[2].item<double>(), 0.0206 * 0.2, 1e-7);
}

TEST(DrrPicture, NoiseFollowsFromSeedAndCaseAndGrowsWithTheAbsorption) {
  Volume water = air({60, 40, 60}, {4, 4, 4});
  water.hu.slice(2, 0, 30).zero_();
  DrrOptions options;
  options.size = 64;
  options.geometry.detector_mm = 200;
  const auto clean = drr_picture(water, options, 1, "a");
  options.photons = 5000;
  const auto once = drr_picture(water, options, 1, "a");
  EXPECT_TRUE(at::equal(once, drr_picture(water, options, 1, "a")));
  EXPECT_FALSE(at::equal(once, drr_picture(water, options, 1, "b")));
  EXPECT_FALSE(at::equal(once, drr_picture(water, options, 2, "a")));
  EXPECT_GT((once - clean).std().item<double>(), 1e-3);
}

TEST(DrrPicture, ExponentialOutputSaturatesWhereLogStaysLinear) {
  Volume water = air({40, 40, 40}, {6, 6, 6});
  for (int64_t z = 0; z < 40; ++z) water.hu[z].slice(0, 0, z + 1).zero_();  // a wedge
  DrrOptions options;
  options.size = 48;
  options.geometry.detector_mm = 200;
  const auto log = drr_picture(water, options, 0, "w");
  options.output = DrrOutput::exponential;
  const auto exponential = drr_picture(water, options, 0, "w");
  // Both run from 0 to 1 along the wedge; the middle of the wedge is brighter where it saturates.
  EXPECT_GT(exponential.median().item<double>(), log.median().item<double>() + 0.1);
}

TEST(FilmPicture, IsBoneBrightBetweenZeroAndOne) {
  auto lines = at::linspace(0, 5, 400).view({20, 20});
  const auto picture = displayed_xray(lines);
  EXPECT_EQ(picture.min().item<float>(), 0);
  EXPECT_EQ(picture.max().item<float>(), 1);
  EXPECT_TRUE((picture.flatten().diff() >= 0).all().item<bool>());
  EXPECT_EQ(displayed_xray(at::zeros({4, 4})).abs().sum().item<float>(), 0);
}

// A rod along the patient's front, and one point: where a lateral X-ray shows them.
TEST(LateralDrr, ShowsThePatientLookingToItsLeft) {
  Volume volume;
  volume.hu = torch::full({20, 20, 20}, -1000.0);
  volume.spacing_mm = {10, 10, 10};
  volume.hu[15][4][10] = 1000;  // high, to the front
  DrrOptions options;
  options.size = 43;
  options.view = BeamView::lateral;
  const auto picture = render_drr(volume, options);
  const int64_t brightest = picture.argmax().item<int64_t>();
  const Vec3 c = volume.centre_mm();
  // Its distance to the source, which is at the patient's right.
  const double m = 1800 / (1600 + (100 - c[0]));
  EXPECT_NEAR(double(brightest % 43), (m * (40 - c[1]) + 215) / 10 - 0.5, 1);
  EXPECT_NEAR(double(brightest / 43), (215 - m * (150 - c[2])) / 10 - 0.5, 1);
}

TEST(LateralDrr, OfAnObliqueVolumeAgreesWithThatOfItsAxes) {
  const auto noise = torch::linspace(-800, 300, 8 * 9 * 10).reshape({8, 9, 10}).contiguous();
  Volume straight{noise, {-45, -40, -35}, {10, 10, 10}};
  Volume turned = straight;
  const double angle = 1e-4;  // hardly turned, and rendered ray by ray
  turned.direction = {
      {{std::cos(angle), -std::sin(angle), 0}, {std::sin(angle), std::cos(angle), 0}, {0, 0, 1}}};
  DrrOptions options;
  options.size = 32;
  options.view = BeamView::lateral;
  options.geometry.detector_mm = 140;
  const auto a = render_drr(straight, options), b = render_drr(turned, options);
  EXPECT_LT((a - b).abs().mean().item<double>(), 0.03 * a.mean().item<double>());
}

}  // namespace
}  // namespace x2ctpa
