#include "x2ctpa/inference/uncertainty.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "inference/xray_detail.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/clipped_air.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

double correlation(const at::Tensor& a, const at::Tensor& b) {
  const auto x = a.to(at::kDouble) - a.mean(at::kDouble),
             y = b.to(at::kDouble) - b.mean(at::kDouble);
  const double scale = std::sqrt(x.square().sum().item<double>() * y.square().sum().item<double>());
  return scale > 0 ? (x * y).sum().item<double>() / scale : 0;
}

}  // namespace

Spread spread_of(const std::vector<fs::path>& volumes) {
  if (volumes.size() < 2) throw Error("a spread needs at least two volumes");
  Spread spread;
  at::Tensor mean, squares;  // Welford's update (Technometrics 4, 1962, 419)
  for (size_t i = 0; i < volumes.size(); ++i) {
    const Volume volume = read_volume(volumes[i]);
    const auto x = volume.hu.to(at::kDouble);
    if (i == 0) {
      spread.mean = spread.std = volume;
      mean = x.clone();
      squares = at::zeros_like(x);
      continue;
    }
    if (!x.sizes().equals(mean.sizes()))
      throw Error(fmt::format("{}: its grid differs from that of {}", volumes[i].string(),
                              volumes[0].string()));
    const auto before = x - mean;
    mean += before / double(i + 1);
    squares += before * (x - mean);
  }
  spread.mean.hu = mean.to(at::kFloat);
  spread.std.hu = (squares / double(volumes.size() - 1)).sqrt().to(at::kFloat);
  return spread;
}

double projection_similarity(const Volume& volume, const at::Tensor& cxr, const DatasetInfo& info) {
  Volume filled = volume;
  filled.hu = with_clipped_air(volume.hu.to(at::kFloat), info.window.min_hu, info.window.max_hu,
                               ClippedAir::ramp)
                  .contiguous();
  double sum = 0, views = 0;
  for (int64_t v = 0; v < cxr.size(0); ++v) {
    if (cxr[v][0][0].isnan().item<bool>()) continue;
    const auto projection = render_drr(filled, rendering_for(info, cxr.size(1), CxrView(v)));
    const auto crossed = crossed_by_rays(projection);
    const auto own = xray_detail(projection).masked_select(crossed),
               xray = xray_detail(cxr[v].to(at::kFloat)).masked_select(crossed);
    sum += correlation(own, xray);
    ++views;
  }
  return sum / views;
}

namespace {

PeClassifier opened(const fs::path& model, const RuntimeOptions& runtime) {
  try {
    return PeClassifier(model, select_device(runtime));
  } catch (const Error& e) {
    throw Error(fmt::format("--classifier {}", e.what()));
  }
}

}  // namespace

PeScorer::PeScorer(const fs::path& model, const RuntimeOptions& runtime)
    : model_(opened(model, runtime)) {
  const bool fused = model_.info().arm == PeArm::fused;
  if (model_.info().input != PeInput::volume || fused) {
    throw Error(
        fmt::format("--classifier {}: expected a classifier of volumes, found one of {}{}s; "
                    "take the arm ctpa or generated with classifier.input volume",
                    model.string(), fused ? "X-rays with " : "", model_.info().input));
  }
}

double PeScorer::score(const Volume& volume, const IntensityWindow& window) {
  return model_.score(window.to_unit(volume.hu).unsqueeze(0));
}

}  // namespace x2ctpa
