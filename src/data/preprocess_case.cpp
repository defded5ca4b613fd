#include "preprocess_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "x2ctpa/imaging/lungs.h"
#include "x2ctpa/imaging/radiograph.h"
#include "x2ctpa/imaging/resample.h"
#include "x2ctpa/imaging/volume_io.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// Scanners fill what lies outside the field of view with values such as -2048 or -3024; averaged
// with skin they would make a dark rim.
constexpr double kAirHu = -1024;

/// Runs one step; what goes wrong in it rejects the study under `reason_code`.
template <class Step>
auto step(const char* reason_code, const std::string& doing, Step run) {
  try {
    return run();
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, doing);
    const bool memory = error.code() == ExitCode::out_of_memory;
    throw RejectedStudy(memory ? "out-of-memory" : reason_code, error.what());
  }
}

Box whole_box(const Volume& volume) {
  Box box;
  const auto size = volume.size_dhw();
  for (size_t axis = 0; axis < 3; ++axis) box.last[axis] = size[axis] - 1;
  return box;
}

/// The volume at the origin, its spacing rounded to a micrometre. A box is a matter of voxels, and
/// thresholds met exactly must not fall by the last digits in which two file formats differ.
Volume voxels_of(const Volume& volume) {
  Volume plain{volume.hu};
  for (size_t axis = 0; axis < 3; ++axis) {
    plain.spacing_mm[axis] = std::max(1e-3, std::round(volume.spacing_mm[axis] * 1e3) / 1e3);
  }
  return plain;
}

Box choose_box(const Volume& volume, const PreprocessOptions& options, CaseRecord& record) {
  if (options.box == "none") return whole_box(volume);
  if (options.box == "body") {
    return step("no-body", "finding the body", [&] { return body_box(voxels_of(volume)); });
  }
  const Lungs lungs =
      step("no-lungs", "finding the lungs", [&] { return segment_lungs(voxels_of(volume)); });
  record.lung_litres = lungs.litres;
  if (lungs.cut_off) record.warnings.push_back("lungs-cut-off");
  return lungs.box;
}

/// The axis-aligned target grid around the outer faces of `box`.
Grid target_grid(const Volume& volume, const Box& box, const PreprocessOptions& options) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  Vec3 low{infinite, infinite, infinite}, high{-infinite, -infinite, -infinite};
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index_xyz;
    for (size_t axis = 0; axis < 3; ++axis) {
      const size_t dhw = 2 - axis;
      index_xyz[axis] = (corner >> axis & 1) ? static_cast<double>(box.last[dhw]) + 0.5
                                             : static_cast<double>(box.first[dhw]) - 0.5;
    }
    const Vec3 point = volume.point(index_xyz);
    for (size_t axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], point[axis]);
      high[axis] = std::max(high[axis], point[axis]);
    }
  }
  Vec3 centre, extent;
  for (size_t axis = 0; axis < 3; ++axis) {
    centre[axis] = (low[axis] + high[axis]) / 2;
    extent[axis] = options.field_of_view_mm.empty() ? high[axis] - low[axis] + 2 * options.margin_mm
                                                    : options.field_of_view_mm[axis];
  }
  return centred_grid({options.grid[0], options.grid[1], options.grid[2]}, centre, extent);
}

void process_ct(const Study& study, const PreprocessOptions& options, const fs::path& out,
                CaseRecord& record) {
  Volume volume = step("ct-unreadable", "reading " + study.ct.string(),
                       [&] { return oriented_to_lps(read_volume(study.ct)); });
  volume.hu = volume.hu.clamp_min(kAirHu);
  const Grid grid = target_grid(volume, choose_box(volume, options, record), options);
  const Volume resampled = step("ct-not-resampled", "resampling " + study.ct.string(), [&] {
    return resample(volume, grid, options.interpolation, kAirHu);
  });
  record.ct = fmt::format("ct/{}.nii", study.id);
  record.spacing_mm = resampled.spacing_mm;
  write_nifti(resampled, out / record.ct, "CT in HU, x2ctpa dataset");
}

void process_cxr(const Study& study, const PreprocessOptions& options, const fs::path& out,
                 CaseRecord& record) {
  const Radiograph radiograph = step("cxr-unreadable", "reading " + study.cxr.string(),
                                     [&] { return read_radiograph(study.cxr); });
  // A simulated X-ray is already square around its central ray, so this only changes its size.
  const torch::Tensor picture = square_radiograph(radiograph.pixels, options.cxr_size);
  record.cxr = fmt::format("cxr/{}.png", study.id);
  record.cxr_mean = picture.mean(torch::kDouble).item<double>();
  record.cxr_mean_square = picture.square().mean(torch::kDouble).item<double>();
  record.warnings.insert(record.warnings.end(), radiograph.warnings.begin(),
                         radiograph.warnings.end());
  write_png16(picture, out / record.cxr);
}

}  // namespace

CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options,
                           const fs::path& out) {
  if (study.ct.empty() && study.cxr.empty()) {
    throw RejectedStudy("empty-study",
                        fmt::format("study {} has neither a CT nor an X-ray", study.id));
  }
  for (const fs::path& source : {study.ct, study.cxr}) {
    if (!source.empty() && !fs::exists(source)) {
      throw RejectedStudy("missing-file",
                          fmt::format("study {}: {} does not exist", study.id, source.string()));
    }
  }
  CaseRecord record;
  record.id = study.id;
  record.ct_source = study.ct.string();
  record.cxr_source = study.cxr.string();
  if (!study.ct.empty()) process_ct(study, options, out, record);
  if (!study.cxr.empty()) process_cxr(study, options, out, record);
  return record;
}

}  // namespace x2ctpa
