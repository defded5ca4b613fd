#include "x2ctpa/imaging/volume/resample.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/test_volumes.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

using namespace test;

// A grid well inside `v`, with its own spacing, turned by `degrees` against it.
Grid inner_grid(const Volume& v, double degrees) {
  Grid grid;
  grid.size_dhw = {3, 4, 5};
  grid.spacing_mm = {0.6, 0.9, 1.1};
  grid.origin_mm = v.point({3.2, 3.1, 2.3});
  const Mat3 turn = rotation(degrees);
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) {
      grid.direction[r][c] = 0;
      for (int k = 0; k < 3; ++k) grid.direction[r][c] += v.direction[r][k] * turn[k][c];
    }
  return grid;
}

TEST(Resample, OntoItsOwnGridChangesNothing) {
  const Volume v = linear_field(rotation(25));
  for (const auto kind : {Interpolation::nearest, Interpolation::linear, Interpolation::cubic})
    EXPECT_TRUE(torch::allclose(resample(v, grid_of(v), kind).hu, v.hu, 1e-5, 1e-3)) << int(kind);
}

TEST(Resample, LinearInterpolationIsExactForALinearField) {
  const Volume v = linear_field(rotation(25));
  EXPECT_LT(error_of_linear_field(resample(v, inner_grid(v, 0))), 1e-3);
  EXPECT_LT(error_of_linear_field(resample(v, inner_grid(v, 12))), 1e-3);
}

TEST(Resample, APermutedAndFlippedGridGivesTheSamePoints) {
  const Volume v = linear_field(rotation(25));
  Grid grid = inner_grid(v, 0);
  grid.size_dhw = {2, 3, 4};
  for (auto& row : grid.direction) row = {-row[1], row[2], row[0]};
  grid.origin_mm = v.point({3.5, 6.0, 2.2});
  EXPECT_LT(error_of_linear_field(resample(v, grid)), 1e-3);
}

TEST(Resample, ACoarserGridAveragesWhatItsVoxelsCover) {
  Volume v{torch::randn({4, 6, 8}), {0, 0, 0}, {1, 1, 1}};
  Grid grid = grid_of(v);
  grid.size_dhw = {2, 2, 2};
  grid.spacing_mm = {4, 3, 2};
  grid.origin_mm = {1.5, 1, 0.5};
  const auto coarse = resample(v, grid).hu;
  // The interpolant's mean over the whole is that of the samples up to the ends' weights.
  v.hu.fill_(7);
  EXPECT_TRUE(torch::allclose(resample(v, grid).hu, torch::full({2, 2, 2}, 7.0f)));
  EXPECT_LT(coarse.abs().max().item<float>(), 2);
}

TEST(Resample, AFinePatternVanishesOnACoarseGridInsteadOfAliasing) {
  Volume v{torch::zeros({4, 4, 64}), {0, 0, 0}, {1, 1, 1}};
  v.hu.slice(2, 0, 64, 2).fill_(100);
  Grid grid = grid_of(v);
  grid.size_dhw[2] = 16;
  grid.spacing_mm[0] = 4;
  grid.origin_mm[0] = 1.5;
  EXPECT_LT((resample(v, grid).hu.slice(2, 1, 15) - 50).abs().max().item<float>(), 1e-3);
}

TEST(Resample, BeyondTheSourceIsTheOutsideValue) {
  const Volume v = linear_field(rotation(25));
  for (double degrees : {0.0, 12.0}) {
    Grid grid = inner_grid(v, degrees);
    grid.origin_mm = v.point({100, 3, 3});
    for (const auto kind : {Interpolation::linear, Interpolation::cubic})
      EXPECT_TRUE((resample(v, grid, kind, -777).hu == -777).all().item<bool>());
  }
}

TEST(Resample, CubicSplineReproducesACubicPolynomialAwayFromTheEnds) {
  Volume v{torch::zeros({3, 3, 60}), {0, 0, 0}, {1, 1, 1}};
  const auto cubic = [](double x) { return 1e-2 * (x - 30) * (x - 30) * (x - 30) + x; };
  for (int64_t i = 0; i < 60; ++i) v.hu.select(2, i).fill_(cubic(double(i)));
  Grid grid = grid_of(v);
  grid.size_dhw[2] = 20;
  grid.origin_mm[0] = 20.3;
  const auto out = resample(v, grid, Interpolation::cubic).hu;
  for (int64_t i = 0; i < 20; ++i)
    EXPECT_NEAR(out[1][1][i].item<float>(), cubic(20.3 + double(i)), 2e-3);
}

TEST(Resample, CubicOnAnObliqueGridAgreesWithTheField) {
  const Volume v = linear_field(rotation(25), {24, 24, 24});
  Grid grid = inner_grid(v, 12);
  grid.origin_mm = v.point({10, 10, 10});
  EXPECT_LT(error_of_linear_field(resample(v, grid, Interpolation::cubic)), 0.05);
}

TEST(Resample, CentredGridSpansTheExtentAroundTheCentre) {
  const Grid grid = centred_grid({4, 5, 10}, {1, 2, 3}, {100, 50, 20});
  EXPECT_EQ(grid.spacing_mm, (Vec3{10, 10, 5}));
  EXPECT_DOUBLE_EQ(grid.origin_mm[0], 1 - 45);
  EXPECT_DOUBLE_EQ(grid.origin_mm[2], 3 - 7.5);
}

TEST(Resample, AnEmptyGridIsRefused) {
  const Volume v = linear_field(rotation(0));
  EXPECT_THROW(resample(v, Grid{}), Error);
}

// Whole numbers from -1000 to 399, by a linear congruence.
Volume pseudo_random_hu() {
  Volume v{torch::empty({5, 7, 6}), {10, 20, 30}, {0.8, 1.4, 2.3}};
  uint64_t state = 12345;
  for (int64_t i = 0; i < v.hu.numel(); ++i) {
    state = (1103515245 * state + 12345) % (uint64_t{1} << 31);
    v.hu.mutable_data_ptr<float>()[i] = float(int64_t((state >> 8) % 1400) - 1000);
  }
  return v;
}

// scipy 1.17.1: zoom(v, round(shape * spacing) / shape), then zoom(..., mode="nearest"), on int16.
const std::vector<float> scipy_zoomed_twice{
    -170, -547, -241, -439, -982, 217,  167,   -374, -96,  395,  -377, 407,   -74,  412,  -350,
    -165, -472, -97,  -294, -860, -841, 247,   -423, -703, -930, -345, -673,  -229, -831, 353,
    -464, -243, -651, -608, 600,  -191, -128,  -909, -306, -239, -132, -244,  -261, -305, -291,
    -501, 134,  -381, -418, -639, 85,   -574,  -276, -398, -96,  -705, -333,  314,  -194, -254,
    -199, 175,  74,   -131, -150, -49,  -361,  -229, -369, -985, -663, 238,   -210, 51,   -926,
    24,   616,  -52,  16,   -441, 18,   -185,  -522, 8,    -284, -591, 277,   -300, 19,   -638,
    62,   113,  -904, -892, -719, 107,  -727,  -502, -84,  -95,  -233, -572,  -547, -765, -162,
    348,  -997, 5,    -676, -104, -55,  -1059, -346, 309,  -379, 47,   -1054, -63,  -47,  -542};

TEST(ZoomAsPublished, EqualsScipyWithinOneHu) {
  const Volume zoomed = zoom_as_published(pseudo_random_hu(), {4, 6, 5});
  const auto expected = torch::tensor(scipy_zoomed_twice).reshape({4, 6, 5});
  EXPECT_LE((zoomed.hu - expected).abs().max().item<float>(), 1.01);
  EXPECT_LE((zoomed.hu - expected).abs().mean().item<float>(), 0.05);
}

TEST(ZoomAsPublished, KeepsTheCornerVoxelsInPlace) {
  Volume v = linear_field(rotation(25), {20, 24, 28});
  v.hu = v.hu.mul(100).round();
  const Volume zoomed = zoom_as_published(v, {15, 18, 21});
  const Vec3 first = zoomed.point({0, 0, 0}), last = zoomed.point({20, 17, 14}),
             far = v.point({27, 23, 19});
  for (size_t a = 0; a < 3; ++a) {
    EXPECT_NEAR(first[a], v.origin_mm[a], 1e-9);
    EXPECT_NEAR(last[a], far[a], 1e-9);
  }
  EXPECT_NEAR(zoomed.hu[0][0][0].item<float>(), v.hu[0][0][0].item<float>(), 1.01);
  EXPECT_NEAR(zoomed.hu[14][17][20].item<float>(), v.hu[19][23][27].item<float>(), 1.01);
}

TEST(ZoomAsPublished, TakesAViewAsItTakesACopy) {
  torch::manual_seed(2);
  Volume whole{(torch::randn({12, 90, 100}) * 300).round(), {0, 0, 0}, {0.7, 0.7, 2.5}};
  Volume view = whole, copy = whole;
  view.hu = whole.hu.narrow(0, 2, 8).narrow(1, 5, 77).narrow(2, 9, 81);
  copy.hu = view.hu.contiguous();
  EXPECT_TRUE(torch::equal(zoom_as_published(view, {9, 70, 75}).hu,
                           zoom_as_published(copy, {9, 70, 75}).hu));
}

TEST(ZoomAsPublished, VolumesOfOneVoxelAndEmptyGrids) {
  Volume one{torch::full({1, 1, 1}, 37.0f), {0, 0, 0}, {0.2, 0.2, 0.2}};
  EXPECT_TRUE((zoom_as_published(one, {3, 4, 5}).hu == 37).all().item<bool>());
  EXPECT_THROW(zoom_as_published(one, {0, 4, 5}), Error);
  EXPECT_THROW(zoom_as_published({}, {3, 4, 5}), Error);
}

TEST(Resample, LongAndShortLinesAgreeWithTheSplineThroughAllSamples) {
  // On the samples themselves a spline has their values, whatever the length of the line.
  for (const int64_t n : {1, 2, 3, 5, 31, 32, 33, 130}) {
    torch::manual_seed(n);
    Volume v{torch::randn({n, 3, 70}) * 500, {0, 0, 0}, {1, 1, 1}};
    EXPECT_LT((resample(v, grid_of(v), Interpolation::cubic).hu - v.hu).abs().max().item<float>(),
              2e-2)
        << n;
  }
}

}  // namespace
}  // namespace x2ctpa
