#include "evaluation/clot_comparison.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "x2ctpa/core/error.h"
#include "x2ctpa/metrics/structure.h"

namespace x2ctpa {
namespace {

constexpr double around_mm = 20;       // the artery that a clot is seen against
constexpr double least_contrast = 10;  // HU of the true volume, below which no share is given

double sum_of(const at::Tensor& x) { return x.sum(at::kDouble).item<double>(); }

double weighted_mean(const at::Tensor& hu, const at::Tensor& weights) {
  return sum_of(hu * weights) / sum_of(weights);
}

// The voxels no further than `mm` along each axis, and one voxel at least.
at::Tensor neighbourhood(const at::Tensor& mask, const Vec3& spacing_mm, double mm) {
  auto grown = mask.to(at::kFloat).unsqueeze(0);
  // Axis by axis, which gives the same box for a fraction of the work.
  for (size_t dim = 0; dim < 3; ++dim) {
    std::array<int64_t, 3> window{1, 1, 1}, padding{0, 0, 0};
    padding[dim] = std::max<int64_t>(1, std::llround(mm / spacing_mm[2 - dim]));
    window[dim] = 2 * padding[dim] + 1;
    grown = at::max_pool3d(grown, window, 1, padding);
  }
  return grown.squeeze(0) > 0.5;
}

}  // namespace

ClotComparison::ClotComparison(const ClotMasks& masks, const Vec3& spacing_mm,
                               const at::Tensor& truth)
    : clots_(masks.clots.to(at::kDouble)), spacing_mm_(spacing_mm) {
  const auto arteries = masks.arteries.to(at::kDouble);
  const auto artery_alone = (arteries - clots_).clamp_min(0);
  if (sum_of(clots_) == 0 || sum_of(artery_alone) == 0)
    throw Error("clots cannot be measured without a voxel of clot and one of artery around it");
  around_ = artery_alone * neighbourhood(clots_ > 0, spacing_mm, around_mm);
  if (sum_of(around_) == 0) around_ = artery_alone;
  clot_voxels_ = clots_ >= 0.5;
  artery_voxels_ = at::maximum(arteries, clots_) >= 0.5;
  const auto region = masks.lungs.defined() ? masks.lungs != 0 : arteries > 0;
  const auto inside = region.nonzero();
  for (size_t dim = 0; dim < 3; ++dim) {
    const auto places = inside.select(1, int64_t(dim));
    box_first_[dim] = places.min().item<int64_t>();
    box_size_[dim] = places.max().item<int64_t>() - box_first_[dim] + 1;
  }
  true_contrast_ = contrast_of(truth);
}

double ClotComparison::ml() const {
  return sum_of(clots_) * spacing_mm_[0] * spacing_mm_[1] * spacing_mm_[2] * 1e-3;
}

bool ClotComparison::central() const {
  auto middle = clots_;
  for (size_t dim = 0; dim < 3; ++dim) {
    const int64_t length = std::max<int64_t>(1, box_size_[dim] / 2);
    middle = middle.narrow(int64_t(dim), box_first_[dim] + box_size_[dim] / 4, length);
  }
  return 2 * sum_of(middle) >= sum_of(clots_);
}

int64_t ClotComparison::fullest_slice() const {
  return clots_.sum({1, 2}).argmax().item<int64_t>();
}

ClotComparison::Contrast ClotComparison::contrast_of(const at::Tensor& hu) const {
  const auto values = hu.to(at::kDouble);
  const double artery = weighted_mean(values, around_);
  return {weighted_mean(values, clots_) - artery,
          std::sqrt(weighted_mean((values - artery).square(), around_))};
}

// What looks like a clot: artery darker than its median by half of the true contrast.
at::Tensor ClotComparison::found_in(const at::Tensor& hu) const {
  const auto free = artery_voxels_.logical_and(clot_voxels_.logical_not());
  const auto reference = free.any().item<bool>() ? free : artery_voxels_;
  if (!reference.any().item<bool>()) return at::zeros_like(artery_voxels_);
  const double usual = hu.masked_select(reference).median().item<double>();
  return artery_voxels_.logical_and(hu < usual - 0.5 * std::abs(true_contrast_.hu));
}

// 1 or 0; one half where the volume shows as much on either side, none included, as guessing would
// have it. NaN where the truth has no such side.
double ClotComparison::same_side(const at::Tensor& found) const {
  const auto lean = [&](const at::Tensor& weights) {
    const auto by_column = weights.to(at::kDouble).sum({0, 1});
    // The middle column of an odd number belongs to both sides.
    const int64_t half = box_first_[2] + box_size_[2] / 2;
    const int64_t other = box_first_[2] + (box_size_[2] + 1) / 2;
    const double difference =
        sum_of(by_column.slice(0, 0, half)) - sum_of(by_column.slice(0, other));
    return (difference > 0) - (difference < 0);
  };
  const int truth = lean(clots_), here = lean(found);
  if (truth == 0) return std::nan("");
  if (here == 0) return 0.5;
  return truth == here ? 1 : 0;
}

LesionValues ClotComparison::of(const at::Tensor& hu) const {
  LesionValues values;
  const Contrast contrast = contrast_of(hu);
  const double nothing = std::nan("");
  values[lesion::contrast] = contrast.hu;
  values[lesion::preserved] =
      true_contrast_.hu < -least_contrast ? contrast.hu / true_contrast_.hu : nothing;
  values[lesion::detectability] =
      contrast.artery_sd > 0 ? -contrast.hu / contrast.artery_sd : nothing;
  const auto found = found_in(hu);
  values[lesion::dice] = clot_voxels_.any().item<bool>() ? dice(clot_voxels_, found) : nothing;
  values[lesion::same_side] = same_side(found);
  return values;
}

}  // namespace x2ctpa
