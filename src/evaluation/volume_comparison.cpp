// Every number of one volume against the true one.
#include "evaluation/volume_comparison.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>

#include "evaluation/steps.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/clipped_air.h"
#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/inference/uncertainty.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/metrics/structure.h"

namespace x2ctpa {

const std::array<MetricName, metric::count> metric_names{{
    {"psnr_db", "PSNR", "dB", "paper/1", "higher"},
    {"ssim_3d", "SSIM 3D", "", "paper/1", "higher"},
    {"ssim_2d", "SSIM 2D", "", "paper/1", "higher"},
    {"ms_ssim_3d", "MS-SSIM 3D", "", "paper/1", "higher"},
    {"mae_hu", "MAE", "HU", "paper/1", "lower"},
    {"mse_hu2", "MSE", "HU²", "paper/1", "lower"},
    {"lpips", "LPIPS", "", "paper/1", "lower"},
    {"lung_psnr_db", "PSNR in lungs", "dB", "x2ctpa/1", "higher"},
    {"lung_ssim_3d", "SSIM 3D in lungs", "", "x2ctpa/1", "higher"},
    {"lung_mae_hu", "MAE in lungs", "HU", "x2ctpa/1", "lower"},
    {"gradient_mae_hu_per_mm", "Gradient MAE", "HU/mm", "x2ctpa/1", "lower"},
    {"sharpness", "Sharpness", "", "x2ctpa/1", "1"},
    {"vessel_dice", "Dice of central vessels", "", "x2ctpa/1", "higher"},
    {"vessel_contrast_hu", "Contrast error in vessels", "HU", "x2ctpa/1", "0"},
    {"artery_dice", "Dice of pulmonary arteries", "", "x2ctpa/1", "higher"},
    {"artery_contrast_hu", "Contrast error in arteries", "HU", "x2ctpa/1", "0"},
    {"lung_dice", "Dice of lungs", "", "x2ctpa/1", "higher"},
    {"projection", "Correlation of DRR and CXR", "", "x2ctpa/1", "higher"},
    {"projection_shortfall", "The same less the true volume's", "", "x2ctpa/1", "0"},
    {"x2ct_psnr_db", "PSNR, X2CT-GAN", "dB", "x2ct/1", "higher"},
    {"x2ct_planes_psnr_db", "PSNR of slices, X2CT-GAN", "dB", "x2ct/1", "higher"},
    {"x2ct_planes_ssim", "SSIM of slices, X2CT-GAN", "", "x2ct/1", "higher"},
    {"x2ct_printed_planes_psnr_db", "PSNR of slices as X2CT-GAN prints it (peak 4095, +4.29 dB)",
     "dB", "x2ct/1", "higher"},
    {"x2ct_printed_psnr_db", "PSNR as X2CT-GAN prints it (peak 4095, +4.29 dB)", "dB", "x2ct/1",
     "higher"},
    {"x2ct_mae_hu", "MAE, X2CT-GAN", "HU", "x2ct/1", "lower"},
    {"x2ct_mse_hu2", "MSE, X2CT-GAN", "HU²", "x2ct/1", "lower"},
    {"x2ct_cosine", "Cosine similarity, X2CT-GAN", "", "x2ct/1", "higher"},
}};

namespace {

constexpr double bright_hu = 150;
constexpr double lung_hu = -500;  // with the mask at hand, no more than a border is to be found
// X2CT-GAN: CT numbers 0 to 2500, which are HU plus 1024.
constexpr IntensityWindow x2ct_window{-1024, 1476};

bool in_hu(const EvaluationInputs& inputs) { return inputs.info.unit == "HU"; }

// Undefined where nothing is plausible as lungs, with the reason in `why_not`.
at::Tensor lungs_of(Volume volume, const IntensityWindow& window, std::string& why_not) {
  volume.hu = with_clipped_air(volume.hu, window.min_hu, window.max_hu, ClippedAir::step);
  try {
    return segment_lungs(volume).mask;
  } catch (const Error& e) {
    why_not = e.what();
    return {};
  }
}

// The voxels within `voxels` of a mask, along each axis.
at::Tensor grown(const at::Tensor& mask, int64_t voxels) {
  const auto full = mask.to(torch::kFloat).unsqueeze(0);
  return at::max_pool3d(full, 2 * voxels + 1, 1, voxels).squeeze(0) > 0.5;
}

}  // namespace

at::Tensor read_mask(const SamplePair& pair, const std::string& kind, const Volume& truth) {
  const auto found = pair.masks.find(kind);
  if (found == pair.masks.end()) return {};
  const at::Tensor share = read_oriented(found->second).hu / 255;
  if (share.sizes() == truth.hu.sizes()) return share;
  throw Error(fmt::format("{} is of another grid than the true volume; run x2ctpa preprocess again",
                          found->second.string()));
}

void check_volume(const Volume& volume, const EvaluationInputs& inputs, const char* what) {
  if (!volume.hu.isfinite().all().item<bool>()) throw Error(fmt::format("the {} holds NaN", what));
  if (!in_hu(inputs)) return;
  const double low = volume.hu.min().item<double>(), high = volume.hu.max().item<double>();
  const double width = inputs.window.max_hu - inputs.window.min_hu;
  const double expected = std::max(inputs.window.min_hu, -900.0);
  if (low <= expected + 0.02 * width) return;
  const char* guess = low >= -1.5 && high <= 1.5 ? "values scaled to [-1, 1] or [0, 1]"
                      : low >= 0 && high <= 255  ? "8-bit grey levels"
                                                 : "a volume clipped by another window";
  throw Error(
      fmt::format("other window: the {} runs from {:g} to {:g}; expected HU whose lowest "
                  "value is at most {:g}. It looks like {}. Give volumes in HU, or the "
                  "window that both share with --evaluate.window_hu",
                  what, low, high, expected, guess));
}

VolumeComparison::VolumeComparison(const SamplePair& pair, const EvaluationInputs& inputs,
                                   Lpips* lpips, bool x2ct)
    : inputs_(inputs), lpips_(lpips), x2ct_(x2ct), truth_(read_oriented(pair.real)) {
  check_volume(truth_, inputs, "true volume");
  clipped_ = clip(truth_.hu);
  if (in_hu(inputs)) {
    find_lungs(pair);
    find_vessels();
    find_arteries(pair);
  }
  if (!pair.cxr.empty() && std::filesystem::exists(pair.cxr)) {
    const auto pixels = read_radiograph(pair.cxr).pixels;
    if (pixels.size(0) == pixels.size(1)) cxr_ = pixels.unsqueeze(0);
  }
  truth_projection_ = cxr_.defined() ? projection_of(truth_.hu) : std::nan("");
}

// In the dataset's window, not in that of the comparison: an X-ray goes through the lungs.
double VolumeComparison::projection_of(const at::Tensor& hu) const {
  const IntensityWindow& window = inputs_.info.window;
  Volume placed = truth_;
  placed.hu = hu.clamp(window.min_hu, window.max_hu).contiguous();
  return projection_similarity(placed, cxr_, inputs_.info);
}

at::Tensor VolumeComparison::clip(const at::Tensor& hu) const {
  return hu.clamp(inputs_.window.min_hu, inputs_.window.max_hu);
}

// Heart and great vessels: what is no lung, in the middle half of the lungs' box from right to left
// and in the front two thirds of it, before the spine.
void VolumeComparison::find_vessels() {
  if (!lungs_.defined()) return;
  const auto inside = lungs_.nonzero();
  const auto low = std::get<0>(inside.min(0)), high = std::get<0>(inside.max(0));
  const auto first = [&](int axis) { return low[axis].item<int64_t>(); };
  const auto size = [&](int axis) { return high[axis].item<int64_t>() - first(axis) + 1; };
  centre_ = torch::zeros_like(lungs_, torch::kBool);
  centre_.narrow(0, first(0), size(0))
      .narrow(1, first(1), std::max<int64_t>(1, 2 * size(1) / 3))
      .narrow(2, first(2) + size(2) / 4, std::max<int64_t>(1, size(2) / 2))
      .fill_(true);
  centre_ = centre_.logical_and(lungs_ == 0);
  bright_ = centre_.logical_and(clipped_ >= bright_hu);
  if (!bright_.any().item<bool>()) bright_ = at::Tensor();
}

// By the mask where there is one, which no window and no grid can take away.
void VolumeComparison::find_lungs(const SamplePair& pair) {
  const at::Tensor share = read_mask(pair, "lung", truth_);
  const auto given = share.defined() ? (share >= 0.5).to(torch::kUInt8) : at::Tensor();
  if (given.defined() && given.any().item<bool>()) {
    lungs_ = given;
    near_lungs_ = grown(given, 2);
  } else {
    lungs_ = lungs_of(truth_, inputs_.window, why_no_lungs_);
  }
  if (!lungs_.defined()) return;
  // What the window made equal says nothing about how well it was met.
  const auto inside = truth_.hu.masked_select(lungs_.to(torch::kBool));
  lungs_cut_off_ = (inside <= inputs_.window.min_hu).to(torch::kFloat).mean().item<float>() > 0.5;
}

std::map<int, std::string> VolumeComparison::untold() const {
  std::map<int, std::string> reasons;
  const auto add = [&](std::initializer_list<int> metrics, const std::string& reason) {
    for (const int metric : metrics) reasons.emplace(metric, reason);
  };
  if (in_hu(inputs_) && !lungs_.defined()) {
    add({metric::lung_psnr, metric::lung_ssim3d, metric::lung_mae, metric::lung_dice,
         metric::vessel_dice, metric::vessel_contrast},
        "no lungs were found in the true volume");
  }
  if (lungs_cut_off_) {
    add({metric::lung_psnr, metric::lung_ssim3d, metric::lung_mae},
        fmt::format("the window, from {:g} HU, cuts the lungs off", inputs_.window.min_hu));
  }
  if (lungs_.defined() && !bright_.defined()) {
    add({metric::vessel_dice, metric::vessel_contrast},
        fmt::format("nothing of {:g} HU or more between the lungs", bright_hu));
  }
  if (!cxr_.defined())
    add({metric::projection, metric::projection_shortfall}, "there is no square X-ray");
  return reasons;
}

void VolumeComparison::find_arteries(const SamplePair& pair) {
  if (const at::Tensor share = read_mask(pair, "artery", truth_); share.defined()) {
    arteries_ = share >= 0.5;
  } else if (!pair.vessels.empty()) {
    arteries_ = region_of_mask(truth_, read_oriented(pair.vessels), false).mask.to(torch::kBool);
  } else {
    return;
  }
  if (!arteries_.any().item<bool>()) {
    arteries_ = at::Tensor();
    return;
  }
  near_arteries_ = grown(arteries_, 1);
}

MetricValues VolumeComparison::of(const Volume& image) const {
  if (image.hu.sizes() != truth_.hu.sizes()) {
    throw Error(fmt::format("other grid: the generated volume is {}x{}x{}, the true one {}x{}x{}",
                            image.hu.size(0), image.hu.size(1), image.hu.size(2), truth_.hu.size(0),
                            truth_.hu.size(1), truth_.hu.size(2)));
  }
  MetricValues values;
  values.fill(std::nan(""));
  const double range = inputs_.window.max_hu - inputs_.window.min_hu;
  const at::Tensor clipped = clip(image.hu);
  const ImageQuality q = image_quality(clipped_, clipped, range);
  values[metric::psnr] = q.psnr_db;
  values[metric::ssim3d] = q.ssim_3d;
  values[metric::ssim2d] = q.ssim_2d;
  values[metric::ms_ssim3d] = q.ms_ssim_3d;
  values[metric::mae] = q.mae;
  values[metric::mse] = q.mse;
  if (lpips_ != nullptr) values[metric::lpips] = lpips_of(clipped);
  const auto& s = truth_.spacing_mm;
  const auto sizes = clipped.sizes();
  if (sizes[0] > 1 && sizes[1] > 1 && sizes[2] > 1) {
    const GradientQuality g = gradient_quality(clipped_, clipped, {s[2], s[1], s[0]});
    values[metric::gradient_mae] = g.mae;
    values[metric::sharpness] = g.sharpness;
  }
  if (lungs_.defined()) add_anatomy(values, image, clipped);
  if (arteries_.defined()) {
    values[metric::artery_dice] = dice(arteries_, near_arteries_.logical_and(clipped >= bright_hu));
    values[metric::artery_contrast] =
        (clipped - clipped_).masked_select(arteries_).mean(torch::kDouble).item<double>();
  }
  if (cxr_.defined()) {
    values[metric::projection] = projection_of(image.hu);
    values[metric::projection_shortfall] = values[metric::projection] - truth_projection_;
  }
  if (x2ct_) add_x2ct(values, image);
  return values;
}

void VolumeComparison::add_anatomy(MetricValues& values, const Volume& image,
                                   const at::Tensor& clipped) const {
  const double range = inputs_.window.max_hu - inputs_.window.min_hu;
  const MaskedQuality inside = masked_quality(clipped_, clipped, lungs_, range);
  if (!lungs_cut_off_) {
    values[metric::lung_psnr] = inside.psnr_db;
    values[metric::lung_ssim3d] = inside.ssim_3d;
    values[metric::lung_mae] = inside.mae;
  }
  values[metric::lung_dice] = lung_dice(image);
  if (!bright_.defined()) return;
  values[metric::vessel_dice] = dice(bright_, centre_.logical_and(clipped >= bright_hu));
  values[metric::vessel_contrast] =
      (clipped - clipped_).masked_select(bright_).mean(torch::kDouble).item<double>();
}

double VolumeComparison::lung_dice(const Volume& image) const {
  const IntensityWindow& window = inputs_.window;
  if (near_lungs_.defined()) {
    const auto air =
        with_clipped_air(image.hu, window.min_hu, window.max_hu, ClippedAir::step) < lung_hu;
    return dice(lungs_, near_lungs_.logical_and(air));
  }
  Volume placed = truth_;
  placed.hu = image.hu;
  std::string unused;
  const auto lungs = lungs_of(placed, window, unused);
  return lungs.defined() ? dice(lungs_, lungs) : 0;
}

void VolumeComparison::add_x2ct(MetricValues& values, const Volume& image) const {
  // Of CT numbers, not of HU: the index of SSIM depends on where 0 is.
  const auto in_window = [](const at::Tensor& hu) {
    return hu.clamp(x2ct_window.min_hu, x2ct_window.max_hu) - x2ct_window.min_hu;
  };
  const double range = x2ct_window.max_hu - x2ct_window.min_hu;
  const auto a = in_window(truth_.hu), b = in_window(image.hu);
  values[metric::x2ct_psnr] = psnr_db(mean_squared_error(a, b), range);
  const PlanesQuality planes = planes_quality(a, b, range);
  values[metric::x2ct_planes_psnr] = planes.psnr_db;
  values[metric::x2ct_planes_ssim] = planes.ssim;
  const X2ctQuality printed = x2ct_quality(truth_.hu, image.hu);
  values[metric::x2ct_printed_planes_psnr] = printed.planes_psnr_db;
  values[metric::x2ct_printed_psnr] = printed.psnr_db;
  values[metric::x2ct_mae] = printed.mae;
  values[metric::x2ct_mse] = printed.mse;
  values[metric::x2ct_cosine] = printed.cosine;
}

double VolumeComparison::lpips_of(const at::Tensor& clipped) const {
  at::NoGradGuard no_grad;
  if (clipped.size(1) < 16 || clipped.size(2) < 16) return std::nan("");
  double sum = 0;
  for (int64_t z = 0; z < clipped.size(0); z += 8) {
    const auto slices = [&](const at::Tensor& hu) {
      return inputs_.window.to_unit(hu.slice(0, z, z + 8)).unsqueeze(1);
    };
    sum += (*lpips_)->forward(slices(clipped_), slices(clipped)).sum().item<double>();
  }
  return sum / double(clipped.size(0));
}

}  // namespace x2ctpa
