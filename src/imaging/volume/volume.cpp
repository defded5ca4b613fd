#include "x2ctpa/imaging/volume/volume.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

std::string orientation_letters(const Mat3& direction) {
  std::string letters;
  for (size_t column = 0; column < 3; ++column) {
    size_t axis = 0;
    for (size_t row = 1; row < 3; ++row)
      if (std::abs(direction[row][column]) > std::abs(direction[axis][column])) axis = row;
    letters += (direction[axis][column] > 0 ? "LPS" : "RAI")[axis];
  }
  return letters;
}

std::array<int64_t, 3> Volume::size_dhw() const {
  if (!hu.defined() || hu.dim() != 3)
    throw Error(fmt::format("Volume: expected voxels of shape (D, H, W), found {} dimensions.",
                            hu.defined() ? hu.dim() : 0));
  return {hu.size(0), hu.size(1), hu.size(2)};
}

Vec3 Volume::point(const Vec3& index_xyz) const {
  Vec3 p = origin_mm;
  for (int row = 0; row < 3; ++row)
    for (int a = 0; a < 3; ++a) p[row] += direction[row][a] * spacing_mm[a] * index_xyz[a];
  return p;
}

Vec3 Volume::index(const Vec3& point_mm) const {
  // The inverse of an orthonormal matrix is its transpose.
  Vec3 index{0, 0, 0};
  for (int a = 0; a < 3; ++a) {
    for (int row = 0; row < 3; ++row)
      index[a] += direction[row][a] * (point_mm[row] - origin_mm[row]);
    index[a] /= spacing_mm[a];
  }
  return index;
}

Vec3 Volume::centre_mm() const {
  const auto [d, h, w] = size_dhw();
  return point({0.5 * double(w - 1), 0.5 * double(h - 1), 0.5 * double(d - 1)});
}

namespace {

// For each patient axis x, y, z the index axis that lies nearest to it: of the six assignments the
// one with the largest sum of |cosines|, so that two axes at 45 degrees never choose the same.
std::array<int, 3> nearest_axes(const Mat3& direction) {
  std::array<int, 3> order{0, 1, 2}, best = order;
  double best_sum = -1;
  do {
    double sum = 0;
    for (int row = 0; row < 3; ++row) sum += std::abs(direction[row][order[row]]);
    if (sum > best_sum + 1e-9) {
      best_sum = sum;
      best = order;
    }
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

}  // namespace

Volume oriented_to_lps(const Volume& volume) {
  const auto size = volume.size_dhw();
  const std::array<int64_t, 3> size_xyz{size[2], size[1], size[0]};
  const auto axes = nearest_axes(volume.direction);
  Volume out;
  Vec3 corner{0, 0, 0};  // index in `volume` of the new first voxel
  std::vector<int64_t> flips, order(3);
  for (int a = 0; a < 3; ++a) {
    const int from = axes[a];
    const bool flip = volume.direction[a][from] < 0;
    out.spacing_mm[a] = volume.spacing_mm[from];
    for (int row = 0; row < 3; ++row)
      out.direction[row][a] = (flip ? -1 : 1) * volume.direction[row][from];
    if (flip) {
      corner[from] = double(size_xyz[from] - 1);
      flips.push_back(2 - a);
    }
    order[2 - a] = 2 - from;  // tensor axes run z, y, x
  }
  out.origin_mm = volume.point(corner);
  out.hu = volume.hu.permute(order);
  if (!flips.empty()) out.hu = out.hu.flip(flips);
  out.hu = out.hu.contiguous();
  return out;
}

}  // namespace x2ctpa
