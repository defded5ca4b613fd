#include "evaluation/case_lesions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "evaluation/clot_comparison.h"

namespace x2ctpa {
namespace {

constexpr int64_t most_picture_pixels = 128;  // enough to see, few enough to keep of every case

// One slice as 8-bit grey, made smaller where it is large.
at::Tensor picture_of(const at::Tensor& slice, double low, double high) {
  const std::vector<int64_t> size{std::min(most_picture_pixels, slice.size(0)),
                                  std::min(most_picture_pixels, slice.size(1))};
  const auto grey = (slice.to(at::kFloat) - low) * (255 / (high - low));
  return at::adaptive_avg_pool2d(grey.unsqueeze(0), size).squeeze(0).round().to(at::kByte);
}

}  // namespace

void add_lesions(const SamplePair& pair, const VolumeComparison& comparison,
                 const SourceVolumes& volumes, LesionEvaluation& lesions) {
  const Volume& truth = comparison.truth();
  const ClotMasks masks{read_mask(pair, "embolus", truth), read_mask(pair, "artery", truth),
                        comparison.lungs()};
  if (!masks.clots.defined() || !masks.arteries.defined()) return;
  if (!masks.clots.any().item<bool>() || !(masks.arteries > masks.clots).any().item<bool>()) return;
  const at::Tensor clipped = comparison.clip(truth.hu);
  const ClotComparison clots(masks, truth.spacing_mm, clipped);
  LesionCase result{pair.case_id, pair.patient_id, clots.ml(), clots.central(), {}, {}, {}, {}};
  result.truth = clots.of(clipped);
  const int64_t slice = clots.fullest_slice();
  const auto picture = [&](const at::Tensor& hu) {
    const IntensityWindow& window = comparison.window();
    return hu.defined() ? picture_of(comparison.clip(hu)[slice], window.min_hu, window.max_hu)
                        : at::Tensor();
  };
  for (int source = 0; source < source::count; ++source) {
    if (volumes[source].defined())
      result.values[source] = clots.of(comparison.clip(volumes[source]));
  }
  result.picture = {picture(truth.hu), picture(volumes[source::autoencoder]),
                    picture(volumes[source::generated]), picture_of(masks.clots[slice], 0, 1),
                    double(truth.hu.size(2)) * truth.spacing_mm[0] /
                        (double(truth.hu.size(1)) * truth.spacing_mm[1])};
  lesions.cases.push_back(std::move(result));
}

}  // namespace x2ctpa
