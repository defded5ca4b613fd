#include "data/preprocess/judge_ct.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "data/preprocess/scan_anatomy.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

constexpr double floor_hu = -1024;  // preprocess puts everything below to this

double share(const at::Tensor& mask) { return mask.to(at::kFloat).mean().item<double>(); }

// Voxels per HU from -1024 to 3071.
std::vector<double> hu_counts(const at::Tensor& hu) {
  const auto counts = at::histc(hu, 4096, floor_hu, 3072).to(at::kDouble).contiguous();
  return {counts.data_ptr<double>(), counts.data_ptr<double>() + counts.numel()};
}

// Air around the patient: the commonest value, to 4 HU, in the corners of the slices, what a
// scanner fills in left out; else that of the whole volume between -1020 and -900.
std::optional<double> measured_air_hu(const at::Tensor& hu, const std::vector<double>& counts) {
  const int64_t h = std::max<int64_t>(1, hu.size(1) / 10),
                w = std::max<int64_t>(1, hu.size(2) / 10);
  std::vector<at::Tensor> corners;
  for (const bool back : {false, true}) {
    for (const bool left : {false, true}) {
      corners.push_back(hu.narrow(1, back ? hu.size(1) - h : 0, h)
                            .narrow(2, left ? hu.size(2) - w : 0, w)
                            .reshape({-1}));
    }
  }
  auto values = at::cat(corners);
  values = values.masked_select((values > floor_hu + 1).logical_and(values < -300));
  if (values.numel() >= 500) {
    constexpr int64_t bins = 181;
    const auto found = at::histc(values, bins, floor_hu, floor_hu + 4 * bins);
    return floor_hu + 4 * double(found.argmax().item<int64_t>()) + 2;
  }
  double all = 0, inside = 0;
  for (const double c : counts) all += c;
  size_t peak = 4;
  for (size_t bin = 4; bin < 124; ++bin) {
    inside += counts[bin];
    if (counts[bin] > counts[peak]) peak = bin;
  }
  if (inside < 0.005 * all) return {};
  return floor_hu + double(peak);
}

struct Judge {
  const std::string& study;
  std::vector<Finding>& findings;
  void add(Severity severity, const char* code, const std::string& what) const {
    findings.push_back({severity, code, study, what});
  }
};

// True when the values may be HU.
bool judge_unit(const CtFacts& facts, const Judge& judge) {
  if (facts.min_value < -500) return true;
  std::string guess;
  if (facts.min_value >= -100 && facts.max_value > 1200)
    guess = "; they look like stored values whose intercept of -1024 was lost";
  if (facts.min_value >= -1 && facts.max_value <= 256)
    guess = "; they look like a picture of 8 bits or scaled to 0..1";
  judge.add(Severity::error, "not-hu",
            fmt::format("values from {:g} to {:g}: nothing is as dark as air{}", facts.min_value,
                        facts.max_value, guess));
  return false;
}

void judge_values(const at::Tensor& hu, const std::vector<double>& counts,
                  const PreprocessOptions& options, const CtFacts& facts, const Judge& judge) {
  if (facts.air_hu && std::abs(*facts.air_hu + 1000) > 30) {
    judge.add(Severity::warning, "air-not-1000",
              fmt::format("air measures {:.0f} HU instead of -1000", *facts.air_hu));
  }
  const double at_top = share(hu == facts.max_value), at_bottom = share(hu == facts.min_value);
  if (facts.max_value < 2500 && at_top > 0.001) {
    const bool within = facts.max_value < options.window.max_hu;
    judge.add(within ? Severity::warning : Severity::info, "clipped",
              fmt::format("{:.1f}% of the voxels have the highest value, {:g} HU: clipped{}",
                          100 * at_top, facts.max_value,
                          within ? ", below the upper end of the window" : ", above the window"));
  }
  if (facts.min_value > -1000 && at_bottom > 0.01) {
    judge.add(Severity::warning, "clipped",
              fmt::format("{:.1f}% of the voxels have the lowest value, {:g} HU: clipped, so that "
                          "air and lung cannot be told apart",
                          100 * at_bottom, facts.min_value));
  }
  int64_t levels = 0;
  for (const double c : counts) levels += c > 0;
  const double range = std::min(facts.max_value, 3071.0) - std::max(facts.min_value, floor_hu);
  if (range > 500 && hu.numel() > 200000 && double(levels) < range / 3) {
    judge.add(Severity::warning, "few-grey-levels",
              fmt::format("{} different values over {:.0f} HU: the volume went through a format of "
                          "fewer bits",
                          levels, range));
  }
}

// The largest angle between an axis of the scan and the patient's.
double obliqueness(const Mat3& direction) {
  double worst = 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    const double cosine = std::clamp(std::abs(direction[axis][axis]), 0.0, 1.0);
    worst = std::max(worst, std::acos(cosine) * 180 / std::numbers::pi);
  }
  return worst;
}

void judge_geometry(const CtFacts& facts, const PreparedCase& prepared, const Judge& judge) {
  const Vec3& mm = facts.spacing_mm;
  Vec3 extent;
  for (size_t axis = 0; axis < 3; ++axis)
    extent[axis] = mm[axis] * double(facts.size_dhw[2 - axis]);
  if (mm[2] > 5) {
    judge.add(Severity::warning, "thick-slices",
              fmt::format("slices are {:.2f} mm apart; emboli are read on 0.6 to 3 mm", mm[2]));
  }
  if (mm == Vec3{1, 1, 1} && !prepared.record.ct_source.empty() &&
      !fs::is_directory(prepared.record.ct_source) && facts.size_dhw[2] >= 400) {
    judge.add(Severity::warning, "unit-spacing",
              "the file says 1 x 1 x 1 mm, which is also what tools write that lost the spacing");
  }
  if (extent[0] < 200 || extent[0] > 800 || extent[1] < 150 || extent[1] > 800) {
    judge.add(Severity::warning, "odd-extent",
              fmt::format("the scan is {:.0f} mm wide and {:.0f} mm deep; a chest has 250 to 500",
                          extent[0], extent[1]));
  }
  if (extent[2] < 150) {
    judge.add(Severity::warning, "short-scan",
              fmt::format("the scan is {:.0f} mm high; lungs have 200 to 350", extent[2]));
  }
  if (facts.obliqueness_degrees > 5) {
    judge.add(facts.obliqueness_degrees > 20 ? Severity::warning : Severity::info, "oblique",
              fmt::format("the scan's axes are {:.1f} degrees off the patient's",
                          facts.obliqueness_degrees));
  }
  if (!prepared.ct) return;
  for (size_t axis = 0; axis < 3; ++axis) {
    if (prepared.ct->spacing_mm[axis] > 0.5 * mm[axis]) continue;
    judge.add(Severity::info, "grid-finer-than-scan",
              fmt::format("along {} the dataset has a voxel per {:.2f} mm, the scan one per {:.2f}",
                          "xyz"[axis], prepared.ct->spacing_mm[axis], mm[axis]));
  }
}

// `sides_told`: by a DICOM header, which is right more often than a look at organs that an effusion
// or a collapsed lung may have moved.
void judge_anatomy(const Volume& scan, const Lungs& lungs, bool sides_told, CtFacts& facts,
                   const Judge& judge) {
  const Severity severity = sides_told ? Severity::info : Severity::warning;
  facts.contrast_hu = trunk_contrast_hu(scan, lungs);
  const AnatomyDirections directions = anatomy_directions(scan, lungs);
  if (directions.left < -0.04) {
    judge.add(severity, "mirrored",
              "the heart lies to the right and the left lung is the larger one");
  }
  if (directions.head < -0.1) {
    judge.add(severity, "upside-down", "the lungs are wider at their top than at their base");
  }
  if (directions.front < -0.15) {
    judge.add(severity, "back-to-front", "there is more bone before the lungs than behind");
  }
}

}  // namespace

CtFacts judge_ct(const PreparedCase& prepared, const PreprocessOptions& options,
                 const std::string& study, std::vector<Finding>& findings) {
  const Volume& scan = *prepared.scan;
  const bool hu = options.modality == Modality::ct;
  CtFacts facts;
  facts.size_dhw = scan.size_dhw();
  facts.spacing_mm = scan.spacing_mm;
  facts.obliqueness_degrees = obliqueness(scan.direction);
  facts.min_value = scan.hu.min().item<double>();
  facts.max_value = scan.hu.max().item<double>();
  facts.lung_litres = prepared.record.lung_litres;
  const Judge judge{study, findings};
  if (hu) {
    const auto counts = hu_counts(scan.hu);
    facts.air_hu = measured_air_hu(scan.hu, counts);
    if (judge_unit(facts, judge)) judge_values(scan.hu, counts, options, facts, judge);
    judge_geometry(facts, prepared, judge);
    const bool dicom = fs::is_directory(prepared.record.ct_source);
    if (prepared.lungs) judge_anatomy(scan, *prepared.lungs, dicom, facts, judge);
  }
  return facts;
}

}  // namespace x2ctpa
