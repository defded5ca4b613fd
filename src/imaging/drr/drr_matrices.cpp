// The renderer of layers and its transpose as products of matrices, for devices that we have no
// loops for: of each slab L, rows are interpolated by R and columns by C, and the picture is the
// sum of R L C^T.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "imaging/drr/drr_rays.h"
#include "imaging/drr/drr_slabs.h"

namespace x2ctpa {
namespace {

constexpr int64_t slabs_at_once = 32;

// Some slabs: their two layers of voxels and the second one's weight (K), and the matrices of rows
// (K, S, D) and columns (K, S, W).
struct SlabMatrices {
  at::Tensor first, second, share, rows, columns;
};

void fill_matrix(const Places& places, float* matrix, int64_t n) {
  for (size_t i = 0; i < places.a.size(); ++i) {
    if (places.a[i] < 0) continue;
    float* row = matrix + int64_t(i) * n;
    row[places.a[i]] += 1 - places.share[i];
    row[places.b[i]] += places.share[i];
  }
}

SlabMatrices matrices_of(const std::vector<Slab>& slabs, int64_t begin, int64_t end,
                         const Volume& volume, const ConeBeam& beam, c10::Device device) {
  const Axis x = axis_of(volume, 0), z = axis_of(volume, 2);
  const int64_t count = end - begin;
  SlabMatrices m{at::empty({count}, at::kLong), at::empty({count}, at::kLong), at::empty({count}),
                 at::zeros({count, beam.size, z.n}), at::zeros({count, beam.size, x.n})};
  const auto u = beam.columns_mm(), v = beam.rows_mm(0, beam.size);
  Places places(beam.size);
  for (int64_t k = 0; k < count; ++k) {
    const Slab& slab = slabs[size_t(begin + k)];
    m.first[k] = slab.first;
    m.second[k] = slab.second;
    m.share[k] = slab.share;
    fill_places(v, z, beam.centre[2], beam, slab, false, places);
    fill_matrix(places, m.rows.mutable_data_ptr<float>() + k * beam.size * z.n, z.n);
    fill_places(u, x, beam.centre[0], beam, slab, false, places);
    fill_matrix(places, m.columns.mutable_data_ptr<float>() + k * beam.size * x.n, x.n);
  }
  m.share = m.share.view({count, 1, 1});
  for (at::Tensor* t : {&m.first, &m.second, &m.share, &m.rows, &m.columns}) *t = t->to(device);
  return m;
}

// Calls `act` for the matrices of some slabs at a time.
template <class Act>
void for_slabs(const std::vector<Slab>& slabs, const Volume& volume, const ConeBeam& beam,
               c10::Device device, Act act) {
  const auto count = int64_t(slabs.size());
  for (int64_t begin = 0; begin < count; begin += slabs_at_once)
    act(matrices_of(slabs, begin, std::min(begin + slabs_at_once, count), volume, beam, device));
}

}  // namespace

at::Tensor project_matrices(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                            double step_mm) {
  const at::Tensor layers = mu.transpose(0, 1);  // (H, D, W)
  at::Tensor sum = at::zeros({beam.size, beam.size}, mu.options());
  const auto all = slabs_along_beam(axis_of(volume, 1), step_mm, false);
  for_slabs(all, volume, beam, mu.device(), [&](const SlabMatrices& m) {
    const at::Tensor first = layers.index_select(0, m.first);
    const at::Tensor slabs = first + m.share * (layers.index_select(0, m.second) - first);
    sum += m.rows.bmm(slabs).bmm(m.columns.transpose(1, 2)).sum(0);
  });
  return sum * ray_lengths(beam, all).to(mu.device());
}

at::Tensor spread_matrices(const at::Tensor& picture, const Volume& volume, const ConeBeam& beam,
                           double step_mm) {
  const auto size = volume.size_dhw();
  auto layers = at::zeros({size[1], size[0], size[2]}, picture.options());
  const auto slabs = slabs_along_beam(axis_of(volume, 1), step_mm, false);
  const at::Tensor weighted = picture * ray_lengths(beam, slabs).to(picture.device());
  for_slabs(slabs, volume, beam, picture.device(), [&](const SlabMatrices& m) {
    const at::Tensor spread = m.rows.transpose(1, 2).matmul(weighted).bmm(m.columns);  // (K, D, W)
    layers.index_add_(0, m.first, (1 - m.share) * spread);
    layers.index_add_(0, m.second, m.share * spread);
  });
  return layers.transpose(0, 1).contiguous();
}

}  // namespace x2ctpa
