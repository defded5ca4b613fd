#include "x2ctpa/imaging/resample.h"

#include <gtest/gtest.h>

#include "support/test_volumes.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

using namespace test;

/// A grid well inside `v`, with its own spacing, turned by `degrees` against it.
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

TEST(Resample, onto_its_own_grid_changes_nothing) {
  const Volume v = linear_field(rotation(25));
  for (const char* kind : {"nearest", "linear", "cubic"})
    EXPECT_TRUE(torch::allclose(resample(v, grid_of(v), kind).hu, v.hu, 1e-5, 1e-3)) << kind;
}

TEST(Resample, linear_interpolation_is_exact_for_a_linear_field) {
  const Volume v = linear_field(rotation(25));
  EXPECT_LT(error_of_linear_field(resample(v, inner_grid(v, 0))), 1e-3);
  EXPECT_LT(error_of_linear_field(resample(v, inner_grid(v, 12))), 1e-3);
}

TEST(Resample, a_permuted_and_flipped_grid_gives_the_same_points) {
  const Volume v = linear_field(rotation(25));
  Grid grid = inner_grid(v, 0);
  grid.size_dhw = {2, 3, 4};
  for (auto& row : grid.direction) row = {-row[1], row[2], row[0]};
  grid.origin_mm = v.point({3.5, 6.0, 2.2});
  EXPECT_LT(error_of_linear_field(resample(v, grid)), 1e-3);
}

TEST(Resample, a_coarser_grid_averages_what_its_voxels_cover) {
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

TEST(Resample, a_fine_pattern_vanishes_on_a_coarse_grid_instead_of_aliasing) {
  Volume v{torch::zeros({4, 4, 64}), {0, 0, 0}, {1, 1, 1}};
  v.hu.slice(2, 0, 64, 2).fill_(100);
  Grid grid = grid_of(v);
  grid.size_dhw[2] = 16;
  grid.spacing_mm[0] = 4;
  grid.origin_mm[0] = 1.5;
  EXPECT_LT((resample(v, grid).hu.slice(2, 1, 15) - 50).abs().max().item<float>(), 1e-3);
}

TEST(Resample, beyond_the_source_is_the_outside_value) {
  const Volume v = linear_field(rotation(25));
  for (double degrees : {0.0, 12.0}) {
    Grid grid = inner_grid(v, degrees);
    grid.origin_mm = v.point({100, 3, 3});
    for (const char* kind : {"linear", "cubic"})
      EXPECT_TRUE((resample(v, grid, kind, -777).hu == -777).all().item<bool>());
  }
}

TEST(Resample, cubic_spline_reproduces_a_cubic_polynomial_away_from_the_ends) {
  Volume v{torch::zeros({3, 3, 60}), {0, 0, 0}, {1, 1, 1}};
  const auto cubic = [](double x) { return 1e-2 * (x - 30) * (x - 30) * (x - 30) + x; };
  for (int64_t i = 0; i < 60; ++i) v.hu.select(2, i).fill_(cubic(double(i)));
  Grid grid = grid_of(v);
  grid.size_dhw[2] = 20;
  grid.origin_mm[0] = 20.3;
  const auto out = resample(v, grid, "cubic").hu;
  for (int64_t i = 0; i < 20; ++i) EXPECT_NEAR(out[1][1][i].item<float>(), cubic(20.3 + double(i)), 2e-3);
}

TEST(Resample, cubic_on_an_oblique_grid_agrees_with_the_field) {
  const Volume v = linear_field(rotation(25), {24, 24, 24});
  Grid grid = inner_grid(v, 12);
  grid.origin_mm = v.point({10, 10, 10});
  EXPECT_LT(error_of_linear_field(resample(v, grid, "cubic")), 0.05);
}

TEST(Resample, centred_grid_spans_the_extent_around_the_centre) {
  const Grid grid = centred_grid({4, 5, 10}, {1, 2, 3}, {100, 50, 20});
  EXPECT_EQ(grid.spacing_mm, (Vec3{10, 10, 5}));
  EXPECT_DOUBLE_EQ(grid.origin_mm[0], 1 - 45);
  EXPECT_DOUBLE_EQ(grid.origin_mm[2], 3 - 7.5);
}

TEST(Resample, unknown_interpolation_and_empty_grids_are_refused) {
  const Volume v = linear_field(rotation(0));
  EXPECT_THROW(resample(v, grid_of(v), "sinc"), Error);
  EXPECT_THROW(resample(v, Grid{}), Error);
}

}  // namespace
}  // namespace x2ctpa
