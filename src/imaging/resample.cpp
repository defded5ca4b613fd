#include "x2ctpa/imaging/resample.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

enum class Kernel { nearest, linear, cubic };

Kernel kernel_of(const std::string& interpolation) {
  if (interpolation == "nearest") return Kernel::nearest;
  if (interpolation == "linear") return Kernel::linear;
  if (interpolation == "cubic") return Kernel::cubic;
  throw Error(fmt::format("resample: interpolation must be nearest, linear or cubic, found '{}'.", interpolation));
}

/// The weights of the source samples for each target sample along one axis. Rows that leave the
/// source sum to less than one; the rest is the value outside.
struct AxisWeights {
  std::vector<int64_t> first;             ///< per target: the first source sample
  std::vector<std::vector<float>> weights;
};

constexpr double edge_tolerance = 1e-6;  ///< in source voxels

/// Integral from the source's edge to x of the linear basis function of sample `i` among `n`, which
/// stays 1 in the outer half of the first and the last voxel.
double basis_integral(double x, int64_t i, int64_t n) {
  const double u = std::clamp(x - static_cast<double>(i), -1.0, 1.0);
  const double left = i == 0 ? std::max(u, -0.5) : -0.5 * (1 - (1 + u) * (1 + u));
  const double right = i == n - 1 ? std::min(u, 0.5) : 0.5 * (1 - (1 - u) * (1 - u));
  return u < 0 ? left : right;
}

void cubic_weights(double c, int64_t n, int64_t& first, std::vector<float>& weights) {
  c = std::clamp(c, 0.0, static_cast<double>(n - 1));
  const auto base = static_cast<int64_t>(std::floor(c));
  const double t = c - static_cast<double>(base), u = 1 - t;
  const std::array<double, 4> w{u * u * u / 6, (3 * t * t * t - 6 * t * t + 4) / 6,
                                (3 * u * u * u - 6 * u * u + 4) / 6, t * t * t / 6};
  // Mirrored about the end samples, as the prefilter is.
  first = std::max<int64_t>(base - 1, 0);
  const int64_t last = std::min<int64_t>(base + 2, n - 1);
  weights.assign(static_cast<size_t>(last - first + 1), 0.0f);
  for (int k = 0; k < 4; ++k) {
    int64_t i = base - 1 + k;
    if (i < 0) i = -i;
    if (i > n - 1) i = 2 * (n - 1) - i;
    i = std::clamp<int64_t>(i, first, last);
    weights[static_cast<size_t>(i - first)] += static_cast<float>(w[k]);
  }
}

void point_weights(double c, int64_t n, Kernel kernel, int64_t& first, std::vector<float>& weights) {
  if (c < -0.5 - edge_tolerance || c > static_cast<double>(n) - 0.5 + edge_tolerance) return;
  if (kernel == Kernel::cubic) return cubic_weights(c, n, first, weights);
  c = std::clamp(c, 0.0, static_cast<double>(n - 1));
  if (kernel == Kernel::nearest) {
    first = std::llround(c);
    weights = {1.0f};
    return;
  }
  first = std::min(static_cast<int64_t>(c), std::max<int64_t>(n - 2, 0));
  const auto t = static_cast<float>(c - static_cast<double>(first));
  weights = n > 1 ? std::vector<float>{1 - t, t} : std::vector<float>{1.0f};
}

/// The mean of the linear interpolant over the target voxel of `width` source voxels around c.
void box_weights(double c, double width, int64_t n, int64_t& first, std::vector<float>& weights) {
  const double low = std::max(c - width / 2, -0.5), high = std::min(c + width / 2, static_cast<double>(n) - 0.5);
  if (high <= low) return;
  first = std::clamp<int64_t>(static_cast<int64_t>(std::floor(low)), 0, n - 1);
  const int64_t last = std::clamp<int64_t>(static_cast<int64_t>(std::ceil(high)), 0, n - 1);
  for (int64_t i = first; i <= last; ++i)
    weights.push_back(static_cast<float>((basis_integral(high, i, n) - basis_integral(low, i, n)) / width));
}

/// Weights of targets at c = start + step * j.
AxisWeights axis_weights(int64_t targets, int64_t n, double start, double step, Kernel kernel) {
  AxisWeights axis{std::vector<int64_t>(targets, 0), std::vector<std::vector<float>>(targets)};
  const bool average = kernel == Kernel::linear && std::abs(step) > 1 + 1e-6;
  for (int64_t j = 0; j < targets; ++j) {
    const double c = start + step * static_cast<double>(j);
    if (average) box_weights(c, std::abs(step), n, axis.first[j], axis.weights[j]);
    else point_weights(c, n, kernel, axis.first[j], axis.weights[j]);
  }
  return axis;
}

/// Applies the weights along dimension `dim` of a contiguous (a, b, c) tensor.
torch::Tensor apply_along(const torch::Tensor& source, int64_t dim, const AxisWeights& axis) {
  auto shape = source.sizes().vec();
  const int64_t n = shape[dim], targets = static_cast<int64_t>(axis.first.size());
  shape[dim] = targets;
  auto out = torch::empty(shape);
  int64_t outer = 1, inner = 1;
  for (int64_t d = 0; d < dim; ++d) outer *= shape[d];
  for (int64_t d = dim + 1; d < 3; ++d) inner *= shape[d];
  const float* in = source.data_ptr<float>();
  float* result = out.data_ptr<float>();
  const int64_t grain = std::max<int64_t>(1, 16384 / inner);
  at::parallel_for(0, outer * targets, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t o = row / targets, j = row % targets;
      const auto& weights = axis.weights[j];
      const float* from = in + (o * n + axis.first[j]) * inner;
      float* to = result + row * inner;
      std::fill_n(to, inner, 0.0f);
      for (float w : weights) {
        for (int64_t i = 0; i < inner; ++i) to[i] += w * from[i];
        from += inner;
      }
    }
  });
  return out;
}

/// Turns samples into cubic B-spline coefficients along the last dimension, mirrored at both ends
/// (Unser 1999: one pole, a causal and an anticausal pass).
void spline_prefilter_line(float* x, int64_t n) {
  if (n < 2) return;
  const double pole = std::sqrt(3.0) - 2.0, gain = (1 - pole) * (1 - 1 / pole);
  std::vector<double> c(x, x + n);
  for (double& v : c) v *= gain;
  double sum = c[0], power = pole;
  const int64_t horizon = std::min<int64_t>(n, 40);  // pole^40 is below 1e-22
  if (horizon < n) {
    for (int64_t k = 1; k < horizon; ++k, power *= pole) sum += power * c[k];
  } else {
    // Short lines: the exact sum over the mirrored periods.
    const double last = std::pow(pole, static_cast<double>(n - 1));
    double back = last * last / pole;
    sum = c[0] + last * c[n - 1];
    for (int64_t k = 1; k < n - 1; ++k, power *= pole, back /= pole) sum += (power + back) * c[k];
    sum /= 1 - last * last;
  }
  c[0] = sum;
  for (int64_t k = 1; k < n; ++k) c[k] += pole * c[k - 1];
  c[n - 1] = pole / (pole * pole - 1) * (pole * c[n - 2] + c[n - 1]);
  for (int64_t k = n - 2; k >= 0; --k) c[k] = pole * (c[k + 1] - c[k]);
  for (int64_t k = 0; k < n; ++k) x[k] = static_cast<float>(c[k]);
}

torch::Tensor spline_coefficients(torch::Tensor x) {
  for (int64_t dim = 0; dim < 3; ++dim) {
    auto lines = x.transpose(dim, 2).contiguous().clone();
    const int64_t n = lines.size(2);
    float* data = lines.data_ptr<float>();
    at::parallel_for(0, lines.numel() / n, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) spline_prefilter_line(data + i * n, n);
    });
    x = lines.transpose(dim, 2).contiguous();
  }
  return x;
}

/// The continuous source index of a target index: index = offset + matrix * target (x, y, z).
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

/// For each source axis the target axis parallel to it; empty when the grids are oblique to each
/// other, which is when the far corner of the target would move by more than a hundredth of a voxel.
std::optional<std::array<int, 3>> parallel_axes(const IndexMap& map, const Grid& grid) {
  std::array<int, 3> partner{-1, -1, -1};
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b)
      if (partner[a] < 0 || std::abs(map.matrix[a][b]) > std::abs(map.matrix[a][partner[a]])) partner[a] = b;
    for (int b = 0; b < 3; ++b)
      if (b != partner[a] && std::abs(map.matrix[a][b]) * static_cast<double>(grid.size_dhw[2 - b]) > 0.01)
        return std::nullopt;
  }
  if (partner[0] == partner[1] || partner[0] == partner[2] || partner[1] == partner[2]) return std::nullopt;
  return partner;
}

torch::Tensor resample_parallel(torch::Tensor x, const IndexMap& map, const std::array<int, 3>& partner,
                                const Grid& grid, Kernel kernel) {
  // Axes that shrink most come first: fewer voxels for the passes that follow.
  std::array<int, 3> order{0, 1, 2};
  const auto growth = [&](int a) {
    return static_cast<double>(grid.size_dhw[2 - partner[a]]) / static_cast<double>(x.size(2 - a));
  };
  std::array<double, 3> grows{growth(0), growth(1), growth(2)};
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return grows[a] < grows[b]; });
  for (int a : order) {
    const int b = partner[a];
    x = apply_along(x, 2 - a, axis_weights(grid.size_dhw[2 - b], x.size(2 - a), map.offset[a], map.matrix[a][b], kernel));
  }
  std::vector<int64_t> permutation(3);
  for (int a = 0; a < 3; ++a) permutation[2 - partner[a]] = 2 - a;
  return x.permute(permutation).contiguous();
}

/// One sample of `x` at a continuous index (x, y, z).
float sample_at(const float* x, const std::array<int64_t, 3>& n_xyz, const Vec3& c, Kernel kernel,
                std::array<std::vector<float>, 3>& weights) {
  std::array<int64_t, 3> first{0, 0, 0};
  for (int a = 0; a < 3; ++a) {
    weights[a].clear();
    point_weights(c[a], n_xyz[a], kernel, first[a], weights[a]);
    if (weights[a].empty()) return 0;
  }
  float sum = 0;
  for (size_t k = 0; k < weights[2].size(); ++k)
    for (size_t j = 0; j < weights[1].size(); ++j) {
      const float* row = x + ((first[2] + static_cast<int64_t>(k)) * n_xyz[1] + first[1] + static_cast<int64_t>(j)) *
                                 n_xyz[0] + first[0];
      float line = 0;
      for (size_t i = 0; i < weights[0].size(); ++i) line += weights[0][i] * row[i];
      sum += weights[2][k] * weights[1][j] * line;
    }
  return sum;
}

/// Points spread evenly over a target voxel (x, y, z offsets in target voxels), fine enough to see every
/// source voxel in it.
std::vector<Vec3> sub_points(const IndexMap& map, Kernel kernel) {
  std::array<int, 3> count{1, 1, 1};
  if (kernel == Kernel::linear)
    for (int b = 0; b < 3; ++b) {
      const double step = std::hypot(map.matrix[0][b], map.matrix[1][b], map.matrix[2][b]);
      count[b] = std::clamp(static_cast<int>(std::ceil(step - 0.05)), 1, 8);
    }
  std::vector<Vec3> points;
  const auto offset = [](int i, int n) { return (i + 0.5) / n - 0.5; };
  for (int k = 0; k < count[2]; ++k)
    for (int j = 0; j < count[1]; ++j)
      for (int i = 0; i < count[0]; ++i)
        points.push_back({offset(i, count[0]), offset(j, count[1]), offset(k, count[2])});
  return points;
}

torch::Tensor resample_oblique(const torch::Tensor& x, const IndexMap& map, const Grid& grid, Kernel kernel) {
  const auto [depth, height, width] = grid.size_dhw;
  const std::array<int64_t, 3> n_xyz{x.size(2), x.size(1), x.size(0)};
  const auto points = sub_points(map, kernel);
  auto out = torch::empty({depth, height, width});
  const float* in = x.data_ptr<float>();
  float* result = out.data_ptr<float>();
  at::parallel_for(0, depth * height, 1, [&, height = height, width = width](int64_t begin, int64_t end) {
    std::array<std::vector<float>, 3> weights;
    for (int64_t row = begin; row < end; ++row)
      for (int64_t i = 0; i < width; ++i) {
        float sum = 0;
        for (const Vec3& p : points) {
          const Vec3 t{static_cast<double>(i) + p[0], static_cast<double>(row % height) + p[1],
                       static_cast<double>(row / height) + p[2]};
          Vec3 c = map.offset;
          for (int a = 0; a < 3; ++a)
            for (int b = 0; b < 3; ++b) c[a] += map.matrix[a][b] * t[b];
          sum += sample_at(in, n_xyz, c, kernel, weights);
        }
        result[row * width + i] = sum / static_cast<float>(points.size());
      }
  });
  return out;
}

void check_grid(const Grid& grid) {
  for (int a = 0; a < 3; ++a)
    if (grid.size_dhw[a] < 1 || !(grid.spacing_mm[a] > 0))
      throw Error(fmt::format("resample: expected a grid of at least 1 voxel and positive spacing on each axis, found {} "
                              "voxels of {} mm.", fmt::join(grid.size_dhw, " x "), fmt::join(grid.spacing_mm, " x ")));
}

}  // namespace

Grid grid_of(const Volume& volume) {
  return {volume.size_dhw(), volume.origin_mm, volume.spacing_mm, volume.direction};
}

Grid centred_grid(const std::array<int64_t, 3>& size_dhw, const Vec3& centre_mm, const Vec3& extent_mm) {
  Grid grid;
  grid.size_dhw = size_dhw;
  for (int a = 0; a < 3; ++a) {
    const auto n = static_cast<double>(size_dhw[2 - a]);
    grid.spacing_mm[a] = extent_mm[a] / n;
    grid.origin_mm[a] = centre_mm[a] - 0.5 * (n - 1) * grid.spacing_mm[a];
  }
  check_grid(grid);
  return grid;
}

Volume resample(const Volume& volume, const Grid& grid, const std::string& interpolation, double outside_hu) {
  volume.size_dhw();
  check_grid(grid);
  const Kernel kernel = kernel_of(interpolation);
  // Relative to the outside value, what lies beyond the source is zero and drops out of the sums.
  torch::Tensor x = (volume.hu.to(torch::kCPU, torch::kFloat) - outside_hu).contiguous();
  if (kernel == Kernel::cubic) x = spline_coefficients(x);
  const IndexMap map = index_map(volume, grid);
  const auto partner = parallel_axes(map, grid);
  x = partner ? resample_parallel(x, map, *partner, grid, kernel) : resample_oblique(x, map, grid, kernel);
  return {x.add_(outside_hu), grid.origin_mm, grid.spacing_mm, grid.direction};
}

}  // namespace x2ctpa
