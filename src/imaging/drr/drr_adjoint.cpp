// The transpose of the renderer of layers: what each pixel says is spread over the voxels that its
// ray runs through.
#include <ATen/ATen.h>
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
void add_scaled(const float* x, float factor, int64_t n, float* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += factor * x[i];
}

// The work of one thread: some planes z of the volume through all slabs. Each plane is summed in
// the same order whatever the other threads have.
class PlaneBlock {
 public:
  PlaneBlock(const Axis& x, const Axis& y, const Axis& z, const ConeBeam& beam)
      : x_(x),
        y_(y),
        z_(z),
        beam_(beam),
        columns_(beam.size),
        rows_(beam.size),
        u_(beam.columns_mm()),
        v_(beam.rows_mm(0, beam.size)),
        line_(size_t(x.n)),
        lines_(size_t(z.n) * size_t(beam.size)),
        touched_(size_t(z.n)) {}

  // Spreads `picture` (S, S) over the slab's voxels in planes first..last of `gradient` (D, H, W).
  void add(const Slab& slab, int64_t first, int64_t last, const float* picture, float* gradient) {
    fill_places(u_, x_, beam_.centre[0], beam_, slab, false, columns_);
    fill_places(v_, z_, beam_.centre[2], beam_, slab, false, rows_);
    std::fill(touched_.begin() + first, touched_.begin() + last, char(0));
    for (int64_t r = 0; r < beam_.size; ++r) {
      const float* row = picture + r * beam_.size;
      add_line(rows_.a[r], 1 - rows_.share[r], first, last, row);
      add_line(rows_.b[r], rows_.share[r], first, last, row);
    }
    for (int64_t k = first; k < last; ++k)
      if (touched_[size_t(k)]) spread(slab, k, gradient + k * y_.n * x_.n);
  }

 private:
  void add_line(int64_t k, float weight, int64_t first, int64_t last, const float* row) {
    if (k < first || k >= last || weight == 0) return;
    float* line = lines_.data() + k * beam_.size;
    if (!touched_[size_t(k)]) {
      std::fill_n(line, beam_.size, 0.0f);
      touched_[size_t(k)] = 1;
    }
    add_scaled(row, weight, beam_.size, line);
  }

  void spread(const Slab& slab, int64_t k, float* plane) {
    std::fill(line_.begin(), line_.end(), 0.0f);
    const float* line = lines_.data() + k * beam_.size;
    for (int64_t c = 0; c < beam_.size; ++c) {
      if (columns_.a[c] < 0) continue;
      line_[size_t(columns_.a[c])] += (1 - columns_.share[c]) * line[c];
      line_[size_t(columns_.b[c])] += columns_.share[c] * line[c];
    }
    add_scaled(line_.data(), 1 - slab.share, x_.n, plane + slab.first * x_.n);
    if (slab.share > 0) add_scaled(line_.data(), slab.share, x_.n, plane + slab.second * x_.n);
  }

  Axis x_, y_, z_;
  const ConeBeam& beam_;
  Places columns_, rows_;
  std::vector<double> u_, v_;
  std::vector<float> line_, lines_;
  std::vector<char> touched_;
};

}  // namespace

at::Tensor spread_layers(const at::Tensor& picture, const Volume& volume, const ConeBeam& beam,
                         double step_mm) {
  const Axis x = axis_of(volume, 0), y = axis_of(volume, 1), z = axis_of(volume, 2);
  const std::vector<Slab> slabs = slabs_along_beam(y, step_mm, false);
  const at::Tensor weighted = picture * ray_lengths(beam, slabs);
  auto gradient = at::zeros({z.n, y.n, x.n});
  const float* from = weighted.const_data_ptr<float>();
  float* sum = gradient.mutable_data_ptr<float>();
  constexpr int64_t block = 8;
  at::parallel_for(0, (z.n + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    PlaneBlock planes(x, y, z, beam);
    for (int64_t b = begin; b < end; ++b)
      for (const Slab& slab : slabs)
        planes.add(slab, b * block, std::min((b + 1) * block, z.n), from, sum);
  });
  return gradient;
}

}  // namespace x2ctpa
