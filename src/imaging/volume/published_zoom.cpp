#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <vector>

#include "imaging/volume/axis_filter.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume/resample.h"

namespace x2ctpa {
namespace {

// `targets` samples from the first of n to the last.
AxisFilter corner_to_corner(int64_t n, int64_t targets, Prefilter prefilter) {
  AxisFilter filter(n, prefilter);
  const double step = targets > 1 ? double(n - 1) / double(targets - 1) : 1.0;
  for (int64_t j = 0; j < targets; ++j) {
    const double c = std::min(step * double(j), double(n - 1));
    const CubicWeights w = prefilter == Prefilter::nearest ? cubic_weights_extended(c, n)
                                                           : cubic_weights_mirrored(c, n);
    filter.add(w.first, {w.weights.begin(), w.weights.begin() + w.count});
  }
  return filter;
}

// The size in voxels of 1 mm, halves to the even number as numpy rounds.
std::array<int64_t, 3> size_in_mm(const Volume& volume) {
  const auto size = volume.hu.sizes();
  std::array<int64_t, 3> result{};
  for (size_t d = 0; d < 3; ++d) {
    const double extent = double(size[d]) * volume.spacing_mm[2 - d];
    result[d] = std::max<int64_t>(1, std::llrint(extent));
  }
  return result;
}

void check(const Volume& boxed, const std::array<int64_t, 3>& size_dhw) {
  const bool rows = boxed.hu.defined() && boxed.hu.dim() == 3 && boxed.hu.numel() > 0 &&
                    boxed.hu.is_cpu() && boxed.hu.scalar_type() == torch::kFloat &&
                    (boxed.hu.stride(2) == 1 || boxed.hu.size(2) == 1);
  if (!rows)
    throw Error(
        "zoom_as_published: expected float voxels of shape (D, H, W) with contiguous rows.");
  for (const int64_t n : size_dhw)
    if (n < 1)
      throw Error(
          fmt::format("zoom_as_published: expected at least 1 voxel on each axis, found {}.",
                      fmt::join(size_dhw, " x ")));
}

}  // namespace

Volume zoom_as_published(const Volume& boxed, const std::array<int64_t, 3>& size_dhw) {
  check(boxed, size_dhw);
  const int64_t depth = boxed.hu.size(0), height = boxed.hu.size(1), width = boxed.hu.size(2);
  const auto fine = size_in_mm(boxed);
  const AxisFilter fine_x = corner_to_corner(width, fine[2], Prefilter::mirror);
  const AxisFilter fine_y = corner_to_corner(height, fine[1], Prefilter::mirror);
  AxisFilter fine_z = corner_to_corner(depth, fine[0], Prefilter::mirror);
  const AxisFilter last_z = corner_to_corner(fine[0], size_dhw[0], Prefilter::nearest);
  const AxisFilter last_y = corner_to_corner(fine[1], size_dhw[1], Prefilter::nearest);
  AxisFilter last_x = corner_to_corner(fine[2], size_dhw[2], Prefilter::nearest);
  fine_z.round_targets();
  last_x.round_targets();

  // The passes of a slice, and the two along z, follow each other while their samples are still in
  // the cache.
  const int64_t plane = fine[1] * fine[2];
  auto slices = torch::empty({depth, plane});
  const auto columns = torch::empty({size_dhw[0], plane});
  const float* in = boxed.hu.const_data_ptr<float>();
  at::parallel_for(0, depth, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> between(size_t(height * fine[2]));
    for (int64_t k = begin; k < end; ++k) {
      filter_rows(fine_x, in + k * boxed.hu.stride(0), boxed.hu.stride(1), height, between.data(),
                  fine[2]);
      filter_columns(fine_y, between.data(), fine[2], fine[2],
                     slices.mutable_data_ptr<float>() + k * plane, fine[2]);
    }
  });
  at::parallel_for(0, plane, 8 * filter_lanes, [&](int64_t begin, int64_t end) {
    filter_columns_twice(fine_z, last_z, slices.const_data_ptr<float>() + begin, plane, end - begin,
                         columns.mutable_data_ptr<float>() + begin, plane);
  });
  slices.reset();  // its memory becomes the result's
  auto result = torch::empty({size_dhw[0], size_dhw[1], size_dhw[2]});
  at::parallel_for(0, size_dhw[0], 1, [&](int64_t begin, int64_t end) {
    std::vector<float> between(size_t(size_dhw[1] * fine[2]));
    for (int64_t k = begin; k < end; ++k) {
      filter_columns(last_y, columns.const_data_ptr<float>() + k * plane, fine[2], fine[2],
                     between.data(), fine[2]);
      filter_rows(last_x, between.data(), fine[2], size_dhw[1],
                  result.mutable_data_ptr<float>() + k * size_dhw[1] * size_dhw[2], size_dhw[2]);
    }
  });

  Volume volume{result, boxed.origin_mm, boxed.spacing_mm, boxed.direction};
  const std::array<int64_t, 3> before{depth, height, width};
  for (size_t d = 0; d < 3; ++d)
    if (size_dhw[d] > 1)
      volume.spacing_mm[2 - d] *=
          std::max<double>(1e-3, double(before[d] - 1)) / double(size_dhw[d] - 1);
  return volume;
}

}  // namespace x2ctpa
