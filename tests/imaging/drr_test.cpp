#include "x2ctpa/imaging/drr.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

Volume air(std::array<int64_t, 3> size_dhw, Vec3 spacing) {
  Volume volume;
  volume.hu = torch::full({size_dhw[0], size_dhw[1], size_dhw[2]}, -1000.0f);
  volume.spacing_mm = spacing;
  volume.origin_mm = {-70, 35, -410};
  return volume;
}

TEST(Drr, PointMarkerLandsWhereTheFormulaSays) {
  Volume volume = air({40, 30, 50}, {3, 4, 5});
  const double angle = 0.06;  // an oblique grid
  volume.direction = {{{std::cos(angle), -std::sin(angle), 0},
                       {std::sin(angle), std::cos(angle), 0}, {0, 0, 1}}};
  volume.hu[31][22][9] = 2000;
  DrrOptions options;
  options.size = 215;
  options.step_mm = 0.5;
  const Vec3 centre{2, 90, -300};
  const auto picture = render_drr(volume, options, centre).to(torch::kDouble);
  const auto grid = torch::arange(215, torch::kDouble);
  const double total = picture.sum().item<double>();
  const double row = (picture.sum(1) * grid).sum().item<double>() / total;
  const double column = (picture.sum(0) * grid).sum().item<double>() / total;
  const auto expected = project_point(volume.point({9, 22, 31}), centre, options);
  EXPECT_NEAR(row, expected[0], 0.1);
  EXPECT_NEAR(column, expected[1], 0.1);
}

TEST(Drr, FormulaIsTheOneThatModelsBackProjectWith) {
  const DrrOptions options;
  const Vec3 centre{10, -20, 30}, point{60, 30, 110};
  const double m = 1800.0 / (-20 + 1600 - 30.0);
  const auto at = project_point(point, centre, options);
  EXPECT_NEAR(at[1], (m * 50 + 215) / 430 * 256 - 0.5, 1e-9);
  EXPECT_NEAR(at[0], (215 - m * 80) / 430 * 256 - 0.5, 1e-9);
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
  const auto mu = attenuation(torch::tensor({-1000.0f, -2000.0f, 0.0f, 100.0f, 1100.0f}), options);
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
  volume.hu = torch::randn({30, 30, 30}) * 100;
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

TEST(FilmPicture, IsBoneBrightBetweenZeroAndOne) {
  auto lines = torch::linspace(0, 5, 400).view({20, 20});
  const auto picture = film_picture(lines);
  EXPECT_EQ(picture.min().item<float>(), 0);
  EXPECT_EQ(picture.max().item<float>(), 1);
  EXPECT_TRUE((picture.flatten().diff() >= 0).all().item<bool>());
  EXPECT_EQ(film_picture(torch::zeros({4, 4})).abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace x2ctpa
