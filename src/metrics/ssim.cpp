#include "metrics/ssim.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "x2ctpa/metrics/image_quality.h"

namespace x2ctpa {
namespace {

constexpr int fields = 5;  // a, b, a*a, b*b, a*b
constexpr int64_t tile_rows = 24;

// What does not change from tile to tile.
struct Problem {
  const float* a;
  const float* b;
  int64_t depth, height, width;
  std::vector<float> window_d, window_h, window_w;
  float centre;  // subtracted before squaring: variances in float32 would cancel otherwise
  float c1, c2;
  float covariance_factor;  // sample covariances of n voxels: n / (n - 1)
  const float* mask;        // weights of the 3D index (D, H, W), or none
  bool volume;              // whether the 3D index is wanted

  int64_t rows_out() const { return height - int64_t(window_h.size()) + 1; }
  int64_t columns_out() const { return width - int64_t(window_w.size()) + 1; }
  int64_t slices_out() const { return depth - int64_t(window_d.size()) + 1; }
};

// out[i] = sum_k window[k] * rows[k][i]. The window is symmetric: outer taps are added first.
void weighted_rows(const std::vector<float>& window, const float* const* rows, int64_t n,
                   float* out) {
  const int64_t taps = int64_t(window.size()), middle = taps / 2;
  const float* centre = rows[middle];
  for (int64_t i = 0; i < n; ++i) out[i] = window[middle] * centre[i];
  for (int64_t k = 0; k < middle; ++k) {
    const float weight = window[k];
    const float* low = rows[k];
    const float* high = rows[taps - 1 - k];
    for (int64_t i = 0; i < n; ++i) out[i] += weight * (low[i] + high[i]);
  }
}

// Sums over a row of the index, and of its contrast-structure factor, from the five weighted means
// of its voxels. With `weights`, both are weighted.
struct RowSums {
  double index = 0, structure = 0;
};

template <bool weighted>
RowSums ssim_row_sums(const Problem& p, const std::array<const float*, fields>& mean, int64_t n,
                      const float* weights) {
  RowSums sums;
  for (int64_t i = 0; i < n; ++i) {
    const float ma = mean[0][i], mb = mean[1][i];
    const float variances = p.covariance_factor * (mean[2][i] - ma * ma + mean[3][i] - mb * mb);
    const float covariance = p.covariance_factor * (mean[4][i] - ma * mb);
    const float la = ma + p.centre, lb = mb + p.centre;  // luminance uses the true means
    const float structure = (2 * covariance + p.c2) / (variances + p.c2);
    const float index = (2 * la * lb + p.c1) / (la * la + lb * lb + p.c1) * structure;
    sums.index += weighted ? weights[i] * index : index;
    sums.structure += weighted ? weights[i] * structure : structure;
  }
  return sums;
}

// A band of output rows that walks through all slices. A ring holds the last slices filtered
// along W and H: they give the 2D index at once and the 3D index once the window along D is full.
class Tile {
 public:
  Tile(const Problem& problem, int64_t first_row)
      : p_(problem),
        first_row_(first_row),
        rows_(std::min(tile_rows, problem.rows_out() - first_row)),
        columns_(problem.columns_out()),
        plane_(rows_ * columns_),
        ring_(problem.window_d.size() * fields * plane_),
        products_(fields * problem.width),
        along_w_(fields * (rows_ + problem.window_h.size() - 1) * columns_),
        along_d_(fields * columns_) {}

  void run() {
    const int64_t taps = int64_t(p_.window_d.size());
    for (int64_t z = 0; z < p_.depth; ++z) {
      filter_slice(z, z % taps);
      if (p_.volume && z + 1 >= taps) add_volume_rows(z + 1 - taps);
    }
  }

  double slice_sum = 0;
  RowSums volume_sum;

 private:
  float* ring_plane(int64_t slot, int field) { return &ring_[(slot * fields + field) * plane_]; }

  void make_products(int64_t z, int64_t y) {
    const float* a = p_.a + (z * p_.height + y) * p_.width;
    const float* b = p_.b + (z * p_.height + y) * p_.width;
    float* f = products_.data();
    const int64_t n = p_.width;
    for (int64_t i = 0; i < n; ++i) {
      const float va = a[i] - p_.centre, vb = b[i] - p_.centre;
      f[i] = va;
      f[n + i] = vb;
      f[2 * n + i] = va * va;
      f[3 * n + i] = vb * vb;
      f[4 * n + i] = va * vb;
    }
  }

  void filter_slice(int64_t z, int64_t slot) {
    const int64_t taps_h = int64_t(p_.window_h.size()), rows_in = rows_ + taps_h - 1;
    std::array<const float*, 11> source{};
    for (int64_t y = 0; y < rows_in; ++y) {
      make_products(z, first_row_ + y);
      for (int field = 0; field < fields; ++field) {
        const float* row = &products_[field * p_.width];
        for (size_t k = 0; k < p_.window_w.size(); ++k) source[k] = row + k;
        weighted_rows(p_.window_w, source.data(), columns_,
                      &along_w_[(field * rows_in + y) * columns_]);
      }
    }
    for (int64_t y = 0; y < rows_; ++y) {
      std::array<const float*, fields> mean{};
      for (int field = 0; field < fields; ++field) {
        for (int64_t k = 0; k < taps_h; ++k) {
          source[k] = &along_w_[(field * rows_in + y + k) * columns_];
        }
        float* out = ring_plane(slot, field) + y * columns_;
        weighted_rows(p_.window_h, source.data(), columns_, out);
        mean[field] = out;
      }
      slice_sum += ssim_row_sums<false>(p_, mean, columns_, nullptr).index;
    }
  }

  void add_volume_rows(int64_t first_slice) {
    const int64_t taps = int64_t(p_.window_d.size());
    std::array<const float*, 11> source{};
    std::array<const float*, fields> mean{};
    for (int64_t y = 0; y < rows_; ++y) {
      for (int field = 0; field < fields; ++field) {
        for (int64_t k = 0; k < taps; ++k) {
          source[k] = ring_plane((first_slice + k) % taps, field) + y * columns_;
        }
        weighted_rows(p_.window_d, source.data(), columns_, &along_d_[field * columns_]);
        mean[field] = &along_d_[field * columns_];
      }
      const RowSums row = p_.mask
                              ? ssim_row_sums<true>(p_, mean, columns_, mask_row(first_slice, y))
                              : ssim_row_sums<false>(p_, mean, columns_, nullptr);
      volume_sum.index += row.index;
      volume_sum.structure += row.structure;
    }
  }

  // The mask at the centres of the windows of one row.
  const float* mask_row(int64_t first_slice, int64_t y) const {
    const int64_t z = first_slice + int64_t(p_.window_d.size()) / 2,
                  row = first_row_ + y + int64_t(p_.window_h.size()) / 2;
    return p_.mask + (z * p_.height + row) * p_.width + int64_t(p_.window_w.size()) / 2;
  }

  const Problem& p_;
  int64_t first_row_, rows_, columns_, plane_;
  std::vector<float> ring_, products_, along_w_, along_d_;
};

}  // namespace

std::vector<float> ssim_window(int64_t length) {
  constexpr double sigma = 1.5;
  constexpr int64_t full_radius = 5;  // int(3.5 * sigma + 0.5)
  const int64_t radius = std::min(full_radius, (length - 1) / 2);
  std::vector<double> weights;
  double sum = 0;
  for (int64_t k = -radius; k <= radius; ++k) {
    weights.push_back(std::exp(-0.5 * double(k * k) / (sigma * sigma)));
    sum += weights.back();
  }
  std::vector<float> window;
  for (double weight : weights) window.push_back(float(weight / sum));
  return window;
}

std::vector<float> uniform_window(int64_t length) {
  const int64_t taps = std::min<int64_t>(7, (length - 1) / 2 * 2 + 1);
  return std::vector<float>(size_t(taps), 1.0f / float(taps));
}

SsimMeans ssim_means(const at::Tensor& truth, const at::Tensor& image, double data_range,
                     const SsimVariant& variant) {
  Problem p{truth.const_data_ptr<float>(), image.const_data_ptr<float>(), truth.size(0),
            truth.size(1), truth.size(2)};
  const auto window = variant.uniform_sample ? uniform_window : ssim_window;
  p.window_d = variant.slices_only ? std::vector<float>{1} : window(p.depth);
  p.window_h = window(p.height);
  p.window_w = window(p.width);
  p.centre = truth.mean(at::kDouble).item<float>();
  p.c1 = float(0.01 * 0.01 * data_range * data_range);
  p.c2 = float(0.03 * 0.03 * data_range * data_range);
  const float voxels = float(p.window_h.size() * p.window_w.size());
  p.covariance_factor = variant.uniform_sample && voxels > 1 ? voxels / (voxels - 1) : 1;
  p.mask = variant.mask.defined() ? variant.mask.const_data_ptr<float>() : nullptr;
  p.volume = !variant.slices_only;

  const int64_t tiles = (p.rows_out() + tile_rows - 1) / tile_rows;
  std::vector<SsimMeans> sums(tiles);
  at::parallel_for(0, tiles, 1, [&](int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) {
      Tile tile(p, k * tile_rows);
      tile.run();
      sums[k] = {tile.slice_sum, tile.volume_sum.index, tile.volume_sum.structure};
    }
  });
  SsimMeans total;
  for (const auto& part : sums) {
    total.slices += part.slices;
    total.volume += part.volume;
    total.structure += part.structure;
  }
  const double plane = double(p.rows_out() * p.columns_out());
  double weight = plane * double(p.slices_out());
  if (p.mask != nullptr) {
    const int64_t d = int64_t(p.window_d.size()) / 2, h = int64_t(p.window_h.size()) / 2,
                  w = int64_t(p.window_w.size()) / 2;
    weight = variant.mask.narrow(0, d, p.slices_out())
                 .narrow(1, h, p.rows_out())
                 .narrow(2, w, p.columns_out())
                 .sum(at::kDouble)
                 .item<double>();
  }
  total.slices /= plane * double(p.depth);
  total.volume /= weight;
  total.structure /= weight;
  // No index exceeds 1; sums in single precision may by a rounding.
  for (double* mean : {&total.slices, &total.volume, &total.structure})
    if (*mean > 1) *mean = 1;
  return total;
}

}  // namespace x2ctpa
