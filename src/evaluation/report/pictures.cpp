// Pictures of the report. Anatomy stands as radiologists hang it: axial with anterior up and the
// patient's right on the left, coronal and sagittal with the head up.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"
#include "x2ctpa/core/base64.h"
#include "x2ctpa/imaging/clipped_air.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

// Voxels of a mosaic: enough to see, few enough to embed.
constexpr int64_t most_slices = 64, most_pixels = 128;
constexpr int64_t mosaic_columns = 8;

// (D, H, W) in [0, 1], made smaller where it is large.
at::Tensor shown_volume(const at::Tensor& grey) {
  const std::vector<int64_t> size{std::min(most_slices, grey.size(0)),
                                  std::min(most_pixels, grey.size(1)),
                                  std::min(most_pixels, grey.size(2))};
  return at::adaptive_avg_pool3d(grey.unsqueeze(0), size).squeeze(0);
}

std::string base64_png(const at::Tensor& picture) { return base64(png8_bytes(picture)); }

// All slices in one picture, mosaic_columns to a row; pictures.js cuts the three planes out of it.
std::string mosaic(const at::Tensor& volume) {
  const int64_t rows = (volume.size(0) + mosaic_columns - 1) / mosaic_columns;
  auto padded = torch::zeros({rows * mosaic_columns, volume.size(1), volume.size(2)});
  padded.narrow(0, 0, volume.size(0)).copy_(volume);
  return base64_png(padded.view({rows, mosaic_columns, volume.size(1), volume.size(2)})
                        .transpose(1, 2)
                        .reshape({rows * volume.size(1), mosaic_columns * volume.size(2)}));
}

// The X-ray that the volume itself would give, in the geometry of the dataset. It is to look at,
// and lungs with an even grey show best what is in them; the correlation takes ClippedAir::ramp.
at::Tensor xray_of(Volume volume, const EvaluationInputs& inputs) {
  const auto& w = inputs.window;
  volume.hu = with_clipped_air(volume.hu, w.min_hu, w.max_hu, ClippedAir::step);
  DrrOptions options;
  options.geometry = inputs.info.geometry;
  return displayed_xray(render_drr(volume, options));
}

ordered_json pictures_of(const CaseResult& c, const EvaluationInputs& inputs) {
  Volume truth = read_oriented(c.pair.real), made = truth;
  made.hu = read_oriented(c.pair.generated).hu;
  const IntensityWindow& window = inputs.window;
  const auto grey = [&](const Volume& v) {
    return (v.hu.clamp(window.min_hu, window.max_hu) - window.min_hu) /
           (window.max_hu - window.min_hu);
  };
  const auto coronal_mip = [](const at::Tensor& v) { return base64_png(v.amax(1).flip(0)); };
  const at::Tensor real = grey(truth), generated = grey(made), small = shown_volume(real);
  const auto side = [&](int axis) { return double(real.size(2 - axis)) * truth.spacing_mm[axis]; };
  const bool has_cxr = !c.pair.cxr.empty() && std::filesystem::exists(c.pair.cxr);
  return {{"case", c.pair.case_id},
          {"size_dhw", small.sizes().vec()},
          {"mm_dhw", {side(2), side(1), side(0)}},
          {"mosaic_columns", mosaic_columns},
          {"real", mosaic(small)},
          {"generated", mosaic(shown_volume(generated))},
          {"mip_real", coronal_mip(real)},
          {"mip_generated", coronal_mip(generated)},
          {"cxr", has_cxr ? ordered_json(base64_png(read_radiograph(c.pair.cxr).pixels))
                          : ordered_json(nullptr)},
          {"drr_real", base64_png(xray_of(truth, inputs))},
          {"drr_generated", base64_png(xray_of(made, inputs))}};
}

}  // namespace

ordered_json case_pictures(const Evaluation& evaluation) {
  ordered_json pictures = ordered_json::array();
  for (const ShownCase& c : shown_cases(evaluation))
    pictures.push_back(pictures_of(*c.result, evaluation.inputs));
  return pictures;
}

}  // namespace x2ctpa
