// Volumes whose every voxel tells where it lies.
#pragma once

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <string>

#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa::test {

/// A rotation about the axis (1, 2, 3) by `degrees`.
inline Mat3 rotation(double degrees) {
  const double a = degrees * M_PI / 180, c = std::cos(a), s = std::sin(a), n = std::sqrt(14.0);
  const Vec3 u{1 / n, 2 / n, 3 / n};
  Mat3 m;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) m[i][j] = (i == j ? c : 0) + (1 - c) * u[i] * u[j];
  m[0][1] -= s * u[2], m[0][2] += s * u[1], m[1][2] -= s * u[0];
  m[1][0] += s * u[2], m[2][0] -= s * u[1], m[2][1] += s * u[0];
  return m;
}

/// What linear_field holds at a point.
inline double linear_value(const Vec3& p) { return 2 * p[0] - 3 * p[1] + 1.5 * p[2] + 10; }

/// Anisotropic and not cubic; HU = linear_value(position).
inline Volume linear_field(const Mat3& direction, std::array<int64_t, 3> size_dhw = {7, 9, 12}) {
  Volume v{at::empty({size_dhw[0], size_dhw[1], size_dhw[2]}),
           {-31, 17, 250},
           {0.7, 1.3, 2.9},
           direction};
  auto a = v.hu.accessor<float, 3>();
  for (int64_t k = 0; k < size_dhw[0]; ++k)
    for (int64_t j = 0; j < size_dhw[1]; ++j)
      for (int64_t i = 0; i < size_dhw[2]; ++i)
        a[k][j][i] = float(linear_value(v.point({double(i), double(j), double(k)})));
  return v;
}

/// The largest |HU - linear_value(position)|.
inline double error_of_linear_field(const Volume& v) {
  const auto size = v.size_dhw();
  auto a = v.hu.accessor<float, 3>();
  double worst = 0;
  for (int64_t k = 0; k < size[0]; ++k)
    for (int64_t j = 0; j < size[1]; ++j)
      for (int64_t i = 0; i < size[2]; ++i)
        worst = std::max(
            worst, std::abs(a[k][j][i] - linear_value(v.point({double(i), double(j), double(k)}))));
  return worst;
}

/// Writes an NRRD header, which `file` names, and its voxels beside it.
inline void write_nhdr(const Volume& v, const std::filesystem::path& file) {
  const auto vector = [](const Vec3& x) { return fmt::format("({},{},{})", x[0], x[1], x[2]); };
  std::string axes;
  for (int a = 0; a < 3; ++a) {
    Vec3 step;
    for (int row = 0; row < 3; ++row) step[row] = v.direction[row][a] * v.spacing_mm[a];
    axes += " " + vector(step);
  }
  const auto size = v.size_dhw();
  const std::string voxels = file.filename().string() + ".voxels";
  write_file(file, fmt::format("NRRD0004\ntype: float\ndimension: 3\nsizes: {} {} {}\n"
                               "space: left-posterior-superior\nspace directions:{}\n"
                               "space origin: {}\nencoding: raw\nendian: little\n"
                               "data file: {}\n",
                               size[2], size[1], size[0], axes, vector(v.origin_mm), voxels));
  const auto hu = v.hu.to(at::kFloat).contiguous();
  write_file(file.parent_path() / voxels,
             {static_cast<const char*>(hu.const_data_ptr()), size_t(hu.nbytes())});
}

}  // namespace x2ctpa::test
