// What the anatomy of a chest scan tells about its axes and its contrast.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "data/preprocess/scan_anatomy.h"

namespace x2ctpa {
namespace {

using at::indexing::Slice;

// The index at `share` of the box along tensor axis `axis`.
int64_t index_at(const Box& box, size_t axis, double share) {
  return box.first[axis] + std::llround(share * double(box.last[axis] + 1 - box.first[axis]));
}

// The part of `volume` between shares of the box: D from below, H from the front, W from the
// right.
at::Tensor part(const at::Tensor& volume, const Box& box, std::array<double, 2> d,
                std::array<double, 2> h, std::array<double, 2> w) {
  const auto slice = [&](size_t axis, const std::array<double, 2>& shares) {
    const int64_t first = index_at(box, axis, shares[0]);
    return Slice(first, std::max(first + 1, index_at(box, axis, shares[1])));
  };
  return volume.index({slice(0, d), slice(1, h), slice(2, w)});
}

double total_of(const at::Tensor& mask) { return mask.sum(at::kDouble).item<double>(); }

// Heart beside the middle of the lungs, in shares of their width; positive: to the left.
double heart_shift(const Volume& scan, const Lungs& lungs) {
  const std::array<double, 2> d{0.3, 0.6}, h{0.1, 0.65}, w{0.2, 0.8};
  const auto soft = part(scan.hu, lungs.box, d, h, w)
                        .gt(-50)
                        .logical_and(part(lungs.mask, lungs.box, d, h, w).eq(0))
                        .to(at::kDouble);
  const double total = total_of(soft);
  if (total < 1) return 0;
  const int64_t width = soft.size(2);
  const auto place = at::arange(width, at::kDouble) - double(width - 1) / 2;
  return total_of(soft * place) / total / double(width) * (w[1] - w[0]);
}

// The share of lung in the patient's right half of the box, less one half.
double right_excess(const Lungs& lungs) {
  const double right = total_of(part(lungs.mask, lungs.box, {0, 1}, {0, 1}, {0, 0.5}));
  return right / std::max(1.0, total_of(lungs.mask)) - 0.5;
}

// Mean width of the lungs, in voxels, over the slices between shares of their height.
double lung_width(const Lungs& lungs, double from, double to) {
  const auto slices = part(lungs.mask, lungs.box, {from, to}, {0, 1}, {0, 1}).amax(1);
  return total_of(slices) / double(slices.size(0));
}

// Bone in the middle third, before and behind the middle of the lungs' depth.
double bone_behind(const Volume& scan, const Lungs& lungs) {
  Box column = lungs.box;
  column.first[1] = 0;
  column.last[1] = scan.hu.size(1) - 1;
  const auto bone = part(scan.hu, column, {0.3, 0.9}, {0, 1}, {1.0 / 3, 2.0 / 3}).gt(180);
  const int64_t front = lungs.box.first[1] + (lungs.box.last[1] - lungs.box.first[1]) / 4;
  const int64_t back = lungs.box.last[1] - (lungs.box.last[1] - lungs.box.first[1]) / 4;
  const double before = total_of(bone.slice(1, 0, front)), behind = total_of(bone.slice(1, back));
  return (behind - before) / std::max(1.0, behind + before);
}

}  // namespace

AnatomyDirections anatomy_directions(const Volume& scan, const Lungs& lungs) {
  AnatomyDirections found;
  const double heart = heart_shift(scan, lungs), right = right_excess(lungs);
  // Both must agree: a shifted heart alone is common, and so is one small lung.
  found.left = heart * right > 0 ? heart + right : 0;
  const double apex = lung_width(lungs, 0.8, 1), base = lung_width(lungs, 0.05, 0.25);
  found.head = (base - apex) / std::max(1.0, base + apex);
  found.front = bone_behind(scan, lungs);
  return found;
}

std::optional<double> trunk_contrast_hu(const Volume& scan, const Lungs& lungs) {
  const std::array<double, 2> d{0.45, 0.8}, h{0.15, 0.6}, w{0.35, 0.65};
  const auto hu = part(scan.hu, lungs.box, d, h, w).contiguous();
  std::array<int64_t, 3> kernel{};
  for (size_t axis = 0; axis < 3; ++axis) {
    kernel[axis] =
        std::clamp<int64_t>(std::llround(4 / scan.spacing_mm[2 - axis]), 1, hu.size(int64_t(axis)));
  }
  const auto smooth = at::avg_pool3d(hu.unsqueeze(0).unsqueeze(0), kernel, {1, 1, 1});
  // Lung and fat out; calcium and devices as well.
  const auto blood = smooth.masked_select(smooth.gt(0).logical_and(smooth.lt(900)));
  if (blood.numel() < 20) return {};
  const auto sorted = std::get<0>(blood.sort());
  return sorted[int64_t(0.95 * double(sorted.numel() - 1))].item<double>();
}

}  // namespace x2ctpa
