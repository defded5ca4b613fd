// The renderer for volumes whose layers are parallel to the detector.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "imaging/drr/drr_rays.h"
#include "imaging/drr/drr_slabs.h"
#include "imaging/volume/vector_clones.h"

namespace x2ctpa {
namespace {

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
        u_(beam.columns_mm()),
        line_(x.n + 1),
        empty_(beam.size),
        left_((z.n + 1) * beam.size),
        right_(siddon ? (z.n + 1) * beam.size : 0) {}

  // Adds the slab's mean value along each ray to rows first..last of `sum`.
  void add(const Slab& slab, int64_t first, int64_t last, float* sum) {
    fill_places(u_, x_, beam_.centre[0], beam_, slab, siddon_, columns_);
    Places rows(last - first);
    fill_places(beam_.rows_mm(first, last), z_, beam_.centre[2], beam_, slab, siddon_, rows);
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
  const Axis x = axis_of(volume, 0), y = axis_of(volume, 1), z = axis_of(volume, 2);
  if (siddon) {
    // A path may cross one border of columns and one of rows in a slab.
    const double slope = 0.5 * beam.pitch_mm * double(beam.size) / beam.to_detector_mm;
    step_mm = std::min(x.spacing_mm, z.spacing_mm) / std::max(slope, 1e-9);
  }
  const std::vector<Slab> slabs = slabs_along_beam(y, step_mm, siddon);
  auto picture = torch::zeros({beam.size, beam.size}, torch::kFloat);
  float* sum = picture.mutable_data_ptr<float>();
  constexpr int64_t block = 32;
  at::parallel_for(0, (beam.size + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    RowBlock rows(mu.const_data_ptr<float>(), x, y, z, beam, siddon);
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * block, last = std::min(first + block, beam.size);
      for (const Slab& slab : slabs) rows.add(slab, first, last, sum);
    }
  });
  return picture.mul_(ray_lengths(beam, slabs));
}

}  // namespace x2ctpa
