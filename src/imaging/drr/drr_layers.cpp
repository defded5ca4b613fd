// The renderer for volumes whose layers are parallel to the detector.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "imaging/drr/drr_rays.h"
#include "imaging/volume/vector_clones.h"

namespace x2ctpa {
namespace {

// Where the rays of one row or column of pixels are in a layer: between samples a and b of an
// axis. An index of -1 is outside, where there is nothing.
struct Places {
  std::vector<int64_t> a, b;
  std::vector<float> share;  // trilinear: the weight of b; Siddon: the part of the path before b

  explicit Places(int64_t n) : a(n), b(n), share(n) {}
};

// A slab of the volume along the beam: front and back face, and its two layers of voxels.
struct Slab {
  double from_y = 0, to_y = 0;
  int64_t first = 0, second = 0;
  float share = 0;  // the weight of the second layer
};

struct Axis {
  double origin_mm, spacing_mm;
  int64_t n;
};

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

// The places of all columns (`offset_mm` from the central ray at the detector) in a slab.
void fill_places(const std::vector<double>& offset_mm, const Axis& axis, double centre_mm,
                 double from_scale, double to_scale, bool siddon, Places& places) {
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

// Slabs of at most `step_mm` in the direction of the beam; for Siddon's method within one layer.
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

X2CTPA_VECTOR_CLONES
void blend(const float* a, const float* b, float share, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] + share * (b[i] - a[i]);
}

X2CTPA_VECTOR_CLONES
void add_linear(const float* a, const float* b, float share, int64_t n, float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += a[i] + share * (b[i] - a[i]);
}

// Adds the path's mean value: it begins in row a, left voxel, changes column after the part x[i]
// of its length and row after the part z.
X2CTPA_VECTOR_CLONES
void add_path(const float* a_left, const float* a_right, const float* b_left, const float* b_right,
              const float* x, float z, int64_t n, float* sum) {
  for (int64_t i = 0; i < n; ++i) {
    const float first = std::min(x[i], z), last = std::max(x[i], z);
    sum[i] += first * a_left[i] + (z - first) * a_right[i] + (x[i] - first) * b_left[i] +
              (1 - last) * b_right[i];
  }
}

X2CTPA_VECTOR_CLONES
void interpolate_row(const float* row, const int64_t* a, const int64_t* b, const float* share,
                     int64_t n, float* out) {
  // row[-1] is the empty voxel outside.
  for (int64_t i = 0; i < n; ++i) out[i] = row[a[i]] + share[i] * (row[b[i]] - row[a[i]]);
}

X2CTPA_VECTOR_CLONES
void gather_row(const float* row, const int64_t* a, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = row[a[i]];
}

// The work of one thread: some rows of pixels through all slabs.
class RowBlock {
 public:
  RowBlock(const float* mu, const Axis& x, const Axis& y, const Axis& z, const ConeBeam& beam,
           bool siddon)
      : mu_(mu),
        x_(x),
        y_(y),
        z_(z),
        beam_(beam),
        siddon_(siddon),
        columns_(beam.size),
        line_(x.n + 1),
        empty_(beam.size),
        left_((z.n + 1) * beam.size),
        right_(siddon ? (z.n + 1) * beam.size : 0) {
    for (int64_t c = 0; c < beam.size; ++c) u_.push_back(beam.u_mm(c));
  }

  // Adds the slab's mean value along each ray to rows first..last of `sum`.
  void add(const Slab& slab, int64_t first, int64_t last, float* sum) {
    const double from = std::abs(slab.from_y - beam_.source[1]) / beam_.to_detector_mm;
    const double to = std::abs(slab.to_y - beam_.source[1]) / beam_.to_detector_mm;
    fill_places(u_, x_, beam_.centre[0], from, to, siddon_, columns_);
    std::vector<double> v;
    for (int64_t r = first; r < last; ++r) v.push_back(beam_.v_mm(r));
    Places rows(last - first);
    fill_places(v, z_, beam_.centre[2], from, to, siddon_, rows);
    std::vector<char> ready(size_t(z_.n), 0);
    for (int64_t r = 0; r < last - first; ++r) {
      if (rows.a[r] < 0 && rows.b[r] < 0) continue;
      for (const int64_t k : {rows.a[r], rows.b[r]})
        if (k >= 0 && !ready[k]) fill_line(slab, k), ready[k] = 1;
      add_row(rows, r, sum + (first + r) * beam_.size);
    }
  }

 private:
  void fill_line(const Slab& slab, int64_t k) {
    const float* layer = mu_ + k * y_.n * x_.n;
    float* row = line_.data() + 1;
    blend(layer + slab.first * x_.n, layer + slab.second * x_.n, slab.share, x_.n, row);
    if (!siddon_) {
      interpolate_row(row, columns_.a.data(), columns_.b.data(), columns_.share.data(), beam_.size,
                      left_.data() + k * beam_.size);
      return;
    }
    gather_row(row, columns_.a.data(), beam_.size, left_.data() + k * beam_.size);
    gather_row(row, columns_.b.data(), beam_.size, right_.data() + k * beam_.size);
  }

  void add_row(const Places& rows, int64_t r, float* sum) const {
    const auto line = [&](const std::vector<float>& lines, int64_t k) {
      return k < 0 ? empty_.data() : lines.data() + k * beam_.size;
    };
    if (!siddon_) {
      add_linear(line(left_, rows.a[r]), line(left_, rows.b[r]), rows.share[r], beam_.size, sum);
      return;
    }
    add_path(line(left_, rows.a[r]), line(right_, rows.a[r]), line(left_, rows.b[r]),
             line(right_, rows.b[r]), columns_.share.data(), rows.share[r], beam_.size, sum);
  }

  const float* mu_;
  Axis x_, y_, z_;
  const ConeBeam& beam_;
  bool siddon_;
  Places columns_;
  std::vector<double> u_;
  std::vector<float> line_, empty_, left_, right_;  // line_ begins with the empty voxel
};

}  // namespace

bool has_parallel_layers(const Volume& volume) {
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 3; ++column)
      if (std::abs(volume.direction[row][column] - (row == column)) > 1e-6) return false;
  return true;
}

at::Tensor project_layers(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                          double step_mm, bool siddon) {
  const auto axis = [&](int a) {
    return Axis{volume.origin_mm[a], volume.spacing_mm[a], mu.size(2 - a)};
  };
  const Axis x = axis(0), y = axis(1), z = axis(2);
  if (siddon) {
    // A path may cross one border of columns and one of rows in a slab.
    const double slope = 0.5 * beam.pitch_mm * double(beam.size) / beam.to_detector_mm;
    step_mm = std::min(x.spacing_mm, z.spacing_mm) / std::max(slope, 1e-9);
  }
  const std::vector<Slab> slabs = slabs_along_beam(y, step_mm, siddon);
  const double slab_mm = slabs.front().to_y - slabs.front().from_y;
  auto picture = torch::zeros({beam.size, beam.size}, torch::kFloat);
  float* sum = picture.mutable_data_ptr<float>();
  constexpr int64_t block = 32;
  at::parallel_for(0, (beam.size + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    RowBlock rows(mu.const_data_ptr<float>(), x, y, z, beam, siddon);
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * block, last = std::min(first + block, beam.size);
      for (const Slab& slab : slabs) rows.add(slab, first, last, sum);
      for (int64_t r = first; r < last; ++r)
        for (int64_t c = 0; c < beam.size; ++c) {
          const double length = std::hypot(beam.u_mm(c), beam.v_mm(r), beam.to_detector_mm);
          sum[r * beam.size + c] *= float(slab_mm * length / beam.to_detector_mm);
        }
    }
  });
  return picture;
}

}  // namespace x2ctpa
