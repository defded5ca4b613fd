#include "imaging/volume/airway.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "imaging/volume/components.h"
#include "imaging/volume/distance.h"

namespace x2ctpa {
namespace {

// Sizes of adults and children's airways, wide enough for either.
constexpr double smallest_area_mm2 = 50, largest_area_mm2 = 900;
constexpr double smallest_height_mm = 35;
constexpr double largest_airway_litres = 0.12;
constexpr double wall_mm = 2.5;  // the half-dark voxels around the lumen

// Round dark spots near the middle of the body in the upper slices, from the top down.
std::vector<Component> trachea_candidates(const at::Tensor& hu, const at::Tensor& air,
                                          double spacing_mm) {
  const int64_t depth = hu.size(0), width = hu.size(2), height = hu.size(1);
  const auto spots = connected_components((hu < -800).bitwise_and(air != 0), false);
  std::vector<Component> candidates;
  for (const auto& c : spots.all) {
    const double area = double(c.voxels) * spacing_mm * spacing_mm;
    const double tall = double(c.last[1] - c.first[1] + 1),
                 wide = double(c.last[2] - c.first[2] + 1);
    const bool round =
        std::max(tall, wide) < 2.5 * std::min(tall, wide) && double(c.voxels) > 0.5 * tall * wide;
    const bool central = std::abs(c.centre[2] - 0.5 * double(width)) * spacing_mm < 60 &&
                         std::abs(c.centre[1] - 0.5 * double(height)) * spacing_mm < 90;
    if (area >= smallest_area_mm2 && area <= largest_area_mm2 && round && central &&
        c.first[0] > depth / 3)
      candidates.push_back(c);
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Component& a, const Component& b) { return a.first[0] > b.first[0]; });
  if (candidates.size() > 24) candidates.resize(24);
  return candidates;
}

// The part of (hu < threshold) that holds the voxel at the middle of `seed`; undefined when that
// voxel is not in it.
std::optional<Component> grown(const Components& dark, const Component& seed) {
  const int64_t label =
      dark.labels[seed.first[0]][std::llround(seed.centre[1])][std::llround(seed.centre[2])]
          .item<int>();
  if (label == 0) return std::nullopt;
  return dark.all[size_t(label - 1)];
}

}  // namespace

at::Tensor find_airway(const at::Tensor& hu, const at::Tensor& air, double spacing_mm) {
  const auto candidates = trachea_candidates(hu, air, spacing_mm);
  if (candidates.empty()) return torch::zeros_like(air);
  const double voxel_litres = spacing_mm * spacing_mm * spacing_mm * 1e-6;
  for (double threshold = -860; threshold >= -1000; threshold -= 10) {
    const auto dark = connected_components((hu < threshold).bitwise_and(air != 0));
    for (const auto& seed : candidates) {
      const auto tree = grown(dark, seed);
      if (!tree) continue;
      const double litres = double(tree->voxels) * voxel_litres;
      const double height = double(tree->last[0] - tree->first[0] + 1) * spacing_mm;
      if (litres > largest_airway_litres || height < smallest_height_mm) continue;
      return dilated(dark.mask_of(tree->label), wall_mm, spacing_mm).bitwise_and(air);
    }
  }
  return torch::zeros_like(air);
}

}  // namespace x2ctpa
