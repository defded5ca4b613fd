#include "x2ctpa/imaging/volume/resample.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "imaging/volume/axis_filter.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

constexpr double edge_tolerance = 1e-6;  // in source voxels

// Integral from the source's edge to x of the linear basis function of sample `i` among `n`, which
// stays 1 in the outer half of the first and the last voxel.
double basis_integral(double x, int64_t i, int64_t n) {
  const double u = std::clamp(x - double(i), -1.0, 1.0);
  const double left = i == 0 ? std::max(u, -0.5) : -0.5 * (1 - (1 + u) * (1 + u));
  const double right = i == n - 1 ? std::min(u, 0.5) : 0.5 * (1 - (1 - u) * (1 - u));
  return u < 0 ? left : right;
}

void cubic_weights(double c, int64_t n, int64_t& first, std::vector<float>& weights) {
  const CubicWeights cubic = cubic_weights_mirrored(c, n);
  first = cubic.first;
  weights.assign(cubic.weights.begin(), cubic.weights.begin() + cubic.count);
}

void point_weights(double c, int64_t n, Interpolation kernel, int64_t& first,
                   std::vector<float>& weights) {
  if (c < -0.5 - edge_tolerance || c > double(n) - 0.5 + edge_tolerance) return;
  if (kernel == Interpolation::cubic) return cubic_weights(c, n, first, weights);
  c = std::clamp(c, 0.0, double(n - 1));
  if (kernel == Interpolation::nearest) {
    first = std::llround(c);
    weights = {1.0f};
    return;
  }
  first = std::min(int64_t(c), std::max<int64_t>(n - 2, 0));
  const auto t = float(c - double(first));
  weights = n > 1 ? std::vector<float>{1 - t, t} : std::vector<float>{1.0f};
}

// The mean of the linear interpolant over the target voxel of `width` source voxels around c.
void box_weights(double c, double width, int64_t n, int64_t& first, std::vector<float>& weights) {
  const double low = std::max(c - width / 2, -0.5), high = std::min(c + width / 2, double(n) - 0.5);
  if (high <= low) return;
  first = std::clamp<int64_t>(int64_t(std::floor(low)), 0, n - 1);
  const int64_t last = std::clamp<int64_t>(int64_t(std::ceil(high)), 0, n - 1);
  for (int64_t i = first; i <= last; ++i)
    weights.push_back(float((basis_integral(high, i, n) - basis_integral(low, i, n)) / width));
}

// What makes targets at c = start + step * j of n samples.
AxisFilter axis_filter(int64_t targets, int64_t n, double start, double step,
                       Interpolation kernel) {
  AxisFilter filter(n, kernel == Interpolation::cubic ? Prefilter::mirror : Prefilter::none);
  const bool average = kernel == Interpolation::linear && std::abs(step) > 1 + 1e-6;
  std::vector<float> weights;
  for (int64_t j = 0; j < targets; ++j) {
    const double c = start + step * double(j);
    int64_t first = 0;
    weights.clear();
    if (average)
      box_weights(c, std::abs(step), n, first, weights);
    else
      point_weights(c, n, kernel, first, weights);
    filter.add(first, weights);
  }
  return filter;
}

// Filters dimension `dim` of a contiguous (a, b, c) tensor.
at::Tensor filtered_along(const at::Tensor& source, int64_t dim, const AxisFilter& filter) {
  auto shape = source.sizes().vec();
  shape[dim] = filter.targets();
  auto result = torch::empty(shape);
  const float* in = source.const_data_ptr<float>();
  float* out = result.mutable_data_ptr<float>();
  const int64_t n = filter.n(), targets = filter.targets();
  if (dim == 2) {
    at::parallel_for(0, shape[0] * shape[1], filter_lanes, [&](int64_t begin, int64_t end) {
      filter_rows(filter, in + begin * n, n, end - begin, out + begin * targets, targets);
    });
    return result;
  }
  // Pieces of a few blocks of lines, so that one plane is enough work for every thread.
  constexpr int64_t piece = 8 * filter_lanes;
  const int64_t outer = dim == 0 ? 1 : shape[0];
  const int64_t lines = dim == 0 ? shape[1] * shape[2] : shape[2];
  const int64_t pieces = (lines + piece - 1) / piece;
  at::parallel_for(0, outer * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / pieces, first = (i % pieces) * piece;
      filter_columns(filter, in + o * n * lines + first, lines, std::min(piece, lines - first),
                     out + o * targets * lines + first, lines);
    }
  });
  return result;
}

// The volume as cubic B-spline coefficients.
at::Tensor spline_coefficients(at::Tensor x) {
  for (int64_t dim = 0; dim < 3; ++dim) {
    AxisFilter filter(x.size(dim), Prefilter::mirror);
    for (int64_t k = 0; k < x.size(dim); ++k) filter.add(k, {1.0f});
    x = filtered_along(x, dim, filter);
  }
  return x;
}

// The continuous source index of a target index: index = offset + matrix * target (x, y, z).
struct IndexMap {
  Vec3 offset{};
  Mat3 matrix{};
};

IndexMap index_map(const Volume& source, const Grid& grid) {
  IndexMap map;
  map.offset = source.index(grid.origin_mm);
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b) {
      double cosine = 0;
      for (int row = 0; row < 3; ++row) cosine += source.direction[row][a] * grid.direction[row][b];
      map.matrix[a][b] = cosine * grid.spacing_mm[b] / source.spacing_mm[a];
    }
  return map;
}

// For each source axis the target axis parallel to it; empty when the grids are oblique to each
// other, which is when the far corner of the target would move by more than a hundredth of a voxel.
std::optional<std::array<int, 3>> parallel_axes(const IndexMap& map, const Grid& grid) {
  std::array<int, 3> partner{-1, -1, -1};
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b)
      if (partner[a] < 0 || std::abs(map.matrix[a][b]) > std::abs(map.matrix[a][partner[a]]))
        partner[a] = b;
    for (int b = 0; b < 3; ++b)
      if (b != partner[a] && std::abs(map.matrix[a][b]) * double(grid.size_dhw[2 - b]) > 0.01)
        return std::nullopt;
  }
  if (partner[0] == partner[1] || partner[0] == partner[2] || partner[1] == partner[2])
    return std::nullopt;
  return partner;
}

at::Tensor resample_parallel(at::Tensor x, const IndexMap& map, const std::array<int, 3>& partner,
                             const Grid& grid, Interpolation kernel, double outside_hu) {
  // Axes that shrink most come first: fewer voxels for the passes that follow. Rows last among
  // equals, as their blocks must be transposed.
  std::array<int, 3> order{1, 2, 0};
  const auto growth = [&](int a) {
    return double(grid.size_dhw[2 - partner[a]]) / double(x.size(2 - a));
  };
  std::array<double, 3> grows{growth(0), growth(1), growth(2)};
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return grows[a] < grows[b]; });
  for (int a : order) {
    const int b = partner[a];
    AxisFilter filter =
        axis_filter(grid.size_dhw[2 - b], x.size(2 - a), map.offset[a], map.matrix[a][b], kernel);
    if (a == order[0]) filter.subtract(float(outside_hu));
    x = filtered_along(x, 2 - a, filter);
  }
  std::vector<int64_t> permutation(3);
  for (int a = 0; a < 3; ++a) permutation[2 - partner[a]] = 2 - a;
  return x.permute(permutation).contiguous();
}

// One sample of `x` at a continuous index (x, y, z).
float sample_at(const float* x, const std::array<int64_t, 3>& n_xyz, const Vec3& c,
                Interpolation kernel, std::array<std::vector<float>, 3>& weights) {
  std::array<int64_t, 3> first{0, 0, 0};
  for (int a = 0; a < 3; ++a) {
    weights[a].clear();
    point_weights(c[a], n_xyz[a], kernel, first[a], weights[a]);
    if (weights[a].empty()) return 0;
  }
  float sum = 0;
  for (size_t k = 0; k < weights[2].size(); ++k)
    for (size_t j = 0; j < weights[1].size(); ++j) {
      const float* row =
          x + ((first[2] + int64_t(k)) * n_xyz[1] + first[1] + int64_t(j)) * n_xyz[0] + first[0];
      float line = 0;
      for (size_t i = 0; i < weights[0].size(); ++i) line += weights[0][i] * row[i];
      sum += weights[2][k] * weights[1][j] * line;
    }
  return sum;
}

// Points spread evenly over a target voxel (x, y, z offsets in target voxels), fine enough to see
// every source voxel in it.
std::vector<Vec3> sub_points(const IndexMap& map, Interpolation kernel) {
  std::array<int, 3> count{1, 1, 1};
  if (kernel == Interpolation::linear)
    for (int b = 0; b < 3; ++b) {
      const double step = std::hypot(map.matrix[0][b], map.matrix[1][b], map.matrix[2][b]);
      count[b] = std::clamp(int(std::ceil(step - 0.05)), 1, 8);
    }
  std::vector<Vec3> points;
  const auto offset = [](int i, int n) { return (i + 0.5) / n - 0.5; };
  for (int k = 0; k < count[2]; ++k)
    for (int j = 0; j < count[1]; ++j)
      for (int i = 0; i < count[0]; ++i)
        points.push_back({offset(i, count[0]), offset(j, count[1]), offset(k, count[2])});
  return points;
}

at::Tensor resample_oblique(const at::Tensor& x, const IndexMap& map, const Grid& grid,
                            Interpolation kernel) {
  const auto [depth, height, width] = grid.size_dhw;
  const std::array<int64_t, 3> n_xyz{x.size(2), x.size(1), x.size(0)};
  const auto points = sub_points(map, kernel);
  auto out = torch::empty({depth, height, width});
  const float* in = x.data_ptr<float>();
  float* result = out.data_ptr<float>();
  at::parallel_for(0, depth * height, 1,
                   [&, height = height, width = width](int64_t begin, int64_t end) {
                     std::array<std::vector<float>, 3> weights;
                     for (int64_t row = begin; row < end; ++row)
                       for (int64_t i = 0; i < width; ++i) {
                         float sum = 0;
                         for (const Vec3& p : points) {
                           const Vec3 t{double(i) + p[0], double(row % height) + p[1],
                                        double(row / height) + p[2]};
                           Vec3 c = map.offset;
                           for (int a = 0; a < 3; ++a)
                             for (int b = 0; b < 3; ++b) c[a] += map.matrix[a][b] * t[b];
                           sum += sample_at(in, n_xyz, c, kernel, weights);
                         }
                         result[row * width + i] = sum / float(points.size());
                       }
                   });
  return out;
}

void check_grid(const Grid& grid) {
  for (int a = 0; a < 3; ++a)
    if (grid.size_dhw[a] < 1 || !(grid.spacing_mm[a] > 0))
      throw Error(
          fmt::format("resample: expected a grid of at least 1 voxel and positive spacing on each "
                      "axis, found {} "
                      "voxels of {} mm.",
                      fmt::join(grid.size_dhw, " x "), fmt::join(grid.spacing_mm, " x ")));
}

}  // namespace

Grid grid_of(const Volume& volume) {
  return {volume.size_dhw(), volume.origin_mm, volume.spacing_mm, volume.direction};
}

Grid centred_grid(const std::array<int64_t, 3>& size_dhw, const Vec3& centre_mm,
                  const Vec3& extent_mm) {
  Grid grid;
  grid.size_dhw = size_dhw;
  for (int a = 0; a < 3; ++a) {
    const auto n = double(size_dhw[2 - a]);
    grid.spacing_mm[a] = extent_mm[a] / n;
    grid.origin_mm[a] = centre_mm[a] - 0.5 * (n - 1) * grid.spacing_mm[a];
  }
  check_grid(grid);
  return grid;
}

Volume resample(const Volume& volume, const Grid& grid, Interpolation kernel, double outside_hu) {
  volume.size_dhw();
  check_grid(grid);
  // Relative to the outside value, what lies beyond the source is zero and drops out of the sums.
  at::Tensor x = volume.hu.to(torch::kCPU, torch::kFloat).contiguous();
  const IndexMap map = index_map(volume, grid);
  if (const auto partner = parallel_axes(map, grid)) {
    x = resample_parallel(x, map, *partner, grid, kernel, outside_hu);
  } else {
    x = x - outside_hu;
    if (kernel == Interpolation::cubic) x = spline_coefficients(x);
    x = resample_oblique(x, map, grid, kernel);
  }
  return {x.add_(outside_hu), grid.origin_mm, grid.spacing_mm, grid.direction};
}

}  // namespace x2ctpa
