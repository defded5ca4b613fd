#include "imaging/drr/drr_slabs.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace x2ctpa {
namespace {

// Linear interpolation at the continuous index c; constant in the outer half of the end voxels.
void place_linear(double c, int64_t n, int64_t i, Places& places) {
  places.a[i] = places.b[i] = -1;
  places.share[i] = 0;
  if (!(c >= -0.5 && c <= double(n) - 0.5)) return;
  c = std::clamp(c, 0.0, double(n - 1));
  places.a[i] = int64_t(c);
  places.b[i] = std::min(places.a[i] + 1, n - 1);
  places.share[i] = float(c - double(places.a[i]));
}

// The two voxels that a path from index c to index d, less than one voxel apart, runs through.
void place_path(double c, double d, int64_t n, int64_t i, Places& places) {
  const auto inside = [n](double x) { return x >= 0 && x < double(n); };
  const double from = std::floor(c + 0.5), to = std::floor(d + 0.5);
  places.a[i] = inside(from) ? int64_t(from) : -1;
  places.b[i] = inside(to) ? int64_t(to) : -1;
  places.share[i] = from == to ? 1.0f : float((std::max(from, to) - 0.5 - c) / (d - c));
}

}  // namespace

Axis axis_of(const Volume& volume, int axis) {
  return {volume.origin_mm[axis], volume.spacing_mm[axis], volume.hu.size(2 - axis)};
}

void fill_places(const std::vector<double>& offset_mm, const Axis& axis, double centre_mm,
                 const ConeBeam& beam, const Slab& slab, bool siddon, Places& places) {
  const double from_scale = beam.share_to(slab.from_y), to_scale = beam.share_to(slab.to_y);
  const double at_centre = (centre_mm - axis.origin_mm) / axis.spacing_mm;
  for (size_t i = 0; i < offset_mm.size(); ++i) {
    const double step = offset_mm[i] / axis.spacing_mm;
    const auto n = int64_t(i);
    if (siddon)
      place_path(at_centre + step * from_scale, at_centre + step * to_scale, axis.n, n, places);
    else
      place_linear(at_centre + step * 0.5 * (from_scale + to_scale), axis.n, n, places);
  }
}

std::vector<Slab> slabs_along_beam(const Axis& y, double step_mm, bool siddon) {
  std::vector<Slab> slabs;
  const auto face = [&](double index) { return y.origin_mm + y.spacing_mm * (index - 0.5); };
  const auto n = double(y.n);
  if (siddon) {
    const int64_t parts = std::max<int64_t>(1, int64_t(std::ceil(y.spacing_mm / step_mm)));
    const double part = 1.0 / double(parts);
    for (int64_t j = 0; j < y.n; ++j)
      for (int64_t k = 0; k < parts; ++k) {
        const double at = double(j) + part * double(k);
        slabs.push_back({face(at), face(at + part), j, j, 0});
      }
    return slabs;
  }
  const auto count = int64_t(std::ceil(n * y.spacing_mm / step_mm - 1e-9));
  Places places(1);
  for (int64_t k = 0; k < count; ++k) {
    const double thickness = n / double(count), at = thickness * double(k);
    place_linear(at + 0.5 * thickness - 0.5, y.n, 0, places);
    slabs.push_back({face(at), face(at + thickness), places.a[0], places.b[0], places.share[0]});
  }
  return slabs;
}

at::Tensor ray_lengths(const ConeBeam& beam, const std::vector<Slab>& slabs) {
  const double slab_mm = slabs.front().to_y - slabs.front().from_y;
  auto lengths = at::empty({beam.size, beam.size});
  float* all = lengths.mutable_data_ptr<float>();
  at::parallel_for(0, beam.size, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t c = 0; c < beam.size; ++c) {
        const double length = std::hypot(beam.u_mm(c), beam.v_mm(r), beam.to_detector_mm);
        all[r * beam.size + c] = float(slab_mm * length / beam.to_detector_mm);
      }
  });
  return lengths;
}

}  // namespace x2ctpa
