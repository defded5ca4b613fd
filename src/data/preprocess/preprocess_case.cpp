#include "data/preprocess/preprocess_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "data/preprocess/case_grid.h"
#include "data/preprocess/intensity.h"
#include "data/preprocess/judge_ct.h"
#include "data/preprocess/read_ct.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/data/studies/volume_masks.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/imaging/xray/view_pair.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// Keeps the case's X-ray and takes its numbers for the set's statistics.
void set_xray(const at::Tensor& picture, CxrView view, PreparedCase& prepared) {
  XrayRecord& xray = prepared.record.xrays[size_t(view)];
  xray.file =
      fmt::format("cxr/{}{}.png", prepared.record.id, view == CxrView::lateral ? "_lateral" : "");
  xray.mean = picture.mean(torch::kDouble).item<double>();
  xray.mean_square = picture.square().mean(torch::kDouble).item<double>();
  prepared.cxr[size_t(view)] = picture;
}

// The X-ray that the CT would give, its central ray through the middle of the dataset's volume.
void render_cxr(const Volume& volume, const Vec3& centre_mm, const PreprocessOptions& options,
                int64_t seed, PreparedCase& prepared) {
  const CaseRecord& record = prepared.record;
  for (int64_t v = 0; v < view_count(options.input.views); ++v) {
    // Twice the size, then averaged, as a detector's pixels do.
    DrrOptions drr{options.drr, 2 * options.cxr_size, options.geometry};
    std::string noise = record.id;
    if (CxrView(v) == CxrView::lateral) {
      drr.view = BeamView::lateral;
      drr.geometry = drr.geometry.lateral(options.lateral_source_to_centre_mm);
      noise += "/lateral";
    }
    const auto picture = run_step("cxr-not-rendered", "rendering an X-ray from " + record.ct_source,
                                  [&] { return drr_picture(volume, drr, seed, noise, centre_mm); });
    prepared.record.cxr_rendered = true;
    set_xray(square_radiograph(picture, options.cxr_size), CxrView(v), prepared);
  }
}

// A chest of impossible size most likely lost its spacing on the way.
void refuse_unit_spacing(const Study& study, const PreprocessOptions& options,
                         const CaseRecord& record) {
  const auto& problems = record.ct_problems;
  const bool doubtful =
      std::find(problems.begin(), problems.end(), "unit-spacing") != problems.end();
  if (!doubtful || options.modality != Modality::ct ||
      (options.box != BoxRule::lungs && options.box != BoxRule::body))
    return;
  throw RejectedStudy(
      "unit-spacing",
      fmt::format("{}: its voxels are 1 x 1 x 1 mm, which makes no chest of it; the "
                  "spacing was most likely lost in a conversion",
                  study.ct.string()));
}

// Measures the percentiles where the options or the modality need them.
void measure_intensity(const Study& study, const PreprocessOptions& options, const Volume& volume,
                       CaseRecord& record) {
  if (options.intensity == Intensity::window && options.modality == Modality::ct) return;
  const auto [low, high] = percentile_values(volume.hu, options.percentiles);
  if (!(low < high)) {
    throw RejectedStudy(
        "flat-volume",
        fmt::format("{}: percentile {:g} and {:g} of its values are both {:g}; "
                    "expected a picture",
                    study.ct.string(), options.percentiles[0], options.percentiles[1], low));
  }
  record.low_value = low;
  record.high_value = high;
}

void prepare_ct(const Study& study, const PreprocessOptions& options, int64_t seed,
                PreparedCase& prepared) {
  CaseRecord& record = prepared.record;
  CtReading reading = run_step("ct-unreadable", "reading " + study.ct.string(), [&] {
    return read_ct(study, options.input.series, options.nifti_form);
  });
  record.ct_problems = reading.problems;
  record.warnings = reading.doubts;
  record.choices.insert(record.choices.end(), reading.notes.begin(), reading.notes.end());
  refuse_unit_spacing(study, options, record);
  Volume volume = oriented_to_lps(reading.volume);
  reading.volume = {};
  double outside = air_hu;
  if (options.modality == Modality::ct) {
    volume.hu.clamp_min_(air_hu);
  } else {
    outside = volume.hu.min().item<double>();
  }
  if (prepared.keep_scan) prepared.scan = volume;
  measure_intensity(study, options, volume, record);
  Volume resampled = on_dataset_grid(volume, study, options, outside, prepared);
  if (options.intensity == Intensity::volume_percentiles) {
    const double scale = percentile_scale / (record.high_value - record.low_value);
    resampled.hu = (resampled.hu - record.low_value) * scale;
  }
  record.ct = fmt::format("ct/{}.nii", study.id);
  record.spacing_mm = resampled.spacing_mm;
  const Vec3 centre_mm = resampled.centre_mm();
  prepared.ct = std::move(resampled);
  if (options.cxr_from_ct == CxrFromCt::all ||
      (options.cxr_from_ct == CxrFromCt::missing && study.cxr.empty() && study.cxr_lateral.empty()))
    render_cxr(volume, centre_mm, options, seed, prepared);
}

// The X-rays that the dataset takes.
ViewPair xrays_of(const Study& study, const PreprocessOptions& options, const CxrOptions& reading) {
  if (options.input.views == CxrViews::both)
    return load_view_pair({study.cxr, study.cxr_lateral}, options.cxr_size, reading);
  ViewPair pair;
  pair.xrays[0] = load_model_xray(study.cxr, options.cxr_size, reading);
  pair.codes = pair.xrays[0].codes;
  pair.warnings = pair.xrays[0].warnings;
  return pair;
}

void prepare_cxr(const Study& study, const PreprocessOptions& options, PreparedCase& prepared) {
  CxrOptions reading = options.cxr;
  // The place of a simulated X-ray's pixels is known, and must stay.
  if (study.cxr_centre_mm) reading.trim = false;
  const bool any_picture = options.source == PictureSource::picture;
  if (any_picture) reading = {.invert = CxrInvert::never, .trim = false, .refuse_not_chest = false};
  const ViewPair pair = run_step("cxr-unreadable", "reading " + study.cxr.string(), [&] {
    try {
      return xrays_of(study, options, reading);
    } catch (const RefusedXray& e) {
      throw RejectedStudy(e.reason_code(), e.what());
    }
  });
  if (!any_picture) {
    for (size_t i = 0; i < pair.warnings.size(); ++i)
      prepared.record.warnings.push_back(pair.codes[i] + ": X-ray: " + pair.warnings[i]);
  }
  for (const CxrView view : {CxrView::frontal, CxrView::lateral}) {
    const at::Tensor& picture = pair.xrays[size_t(view)].picture;
    if (picture.defined()) set_xray(picture, view, prepared);
  }
}

// Of the written volume; a NIfTI header has 79 characters for it.
std::string description(const PreprocessOptions& options) {
  if (options.intensity == Intensity::volume_percentiles)
    return std::string(word_of(options.modality)) +
           ", its percentiles at 0 and 1000, x2ctpa dataset";
  return std::string(word_of(options.modality)) +
         (options.modality == Modality::ct ? " in HU" : "") + ", x2ctpa dataset";
}

int64_t bytes_of(const fs::path& file) { return int64_t(fs::file_size(file)); }

// Writes where a mask covers the voxels of the volume: `share`, from 0 to 1.
void write_share(Volume share, const fs::path& out, const std::string& file, CaseRecord& record) {
  share.hu = share.hu * 255;
  write_nifti(share, out / file, "share of each voxel in the mask: 0 to 255, x2ctpa dataset");
  record.mask_bytes[file] = bytes_of(out / file);
}

void write_masks(const Study& study, const Volume& ct, const PreprocessOptions& options,
                 const fs::path& out, CaseRecord& record) {
  for (const auto& given : study.masks) {
    const std::string& kind = given.first;
    const fs::path& source = given.second;  // names of their own: clang 14 captures no binding
    Volume mask = run_step("mask-unreadable", "reading " + source.string(),
                           [&] { return read_volume(source, options.nifti_form); });
    mask.hu = (mask.hu != 0).to(torch::kFloat);
    // However much finer the mask's own grid is.
    const Volume share = run_step("mask-unusable", "placing " + source.string(), [&] {
      return resample(mask, grid_of(ct), Interpolation::linear, 0);
    });
    write_share(share, out, mask_file(study.id, kind), record);
  }
}

// The lungs that the box was made of, in their place, where the study names no mask of them: on a
// coarse grid they could not be found again.
std::optional<Volume> lungs_to_keep(const Study& study, const PreparedCase& prepared) {
  if (!prepared.lungs || !prepared.scan || study.masks.contains("lung")) return std::nullopt;
  Volume lungs{prepared.lungs->mask, prepared.scan->origin_mm, prepared.scan->spacing_mm,
               prepared.scan->direction};
  const double voxel_mm = *std::max_element(lungs.spacing_mm.begin(), lungs.spacing_mm.end());
  lungs = boxed(lungs, prepared.lungs->box, voxel_mm);
  lungs.hu = lungs.hu.to(torch::kFloat);
  return lungs;
}

bool has_warning(const CaseRecord& record, const std::string& code) {
  return std::any_of(record.warnings.begin(), record.warnings.end(),
                     [&](const std::string& w) { return w.starts_with(code + ":"); });
}

// What `--check` says of the scan is said of the case, too.
void add_scan_warnings(const Study& study, const PreprocessOptions& options,
                       PreparedCase& prepared) {
  std::vector<Finding> findings;
  try {
    judge_ct(prepared, options, study.id, findings);
  } catch (const std::exception& e) {
    // The case itself is made: what could not be measured must not reject it.
    log_debug("judging {}: {}", study.id, e.what());
  }
  for (const Finding& finding : findings)
    if (finding.severity != Severity::info && !has_warning(prepared.record, finding.code))
      prepared.record.warnings.push_back(finding.code + ": " + finding.what);
}

}  // namespace

std::string masks_text(const Study& study) {
  std::string text;
  for (const auto& [kind, file] : study.masks)
    text += fmt::format("{}{}={}", text.empty() ? "" : ";", kind, valid_utf8(file.string()));
  return text;
}

void prepare_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                  PreparedCase& prepared) {
  const bool lateral = options.input.views == CxrViews::both && !study.cxr_lateral.empty();
  if (study.ct.empty() && study.cxr.empty() && !lateral) {
    throw RejectedStudy("empty-study",
                        fmt::format("study {} has neither a CT nor an X-ray", study.id));
  }
  if (!study.refused.empty()) throw RejectedStudy(study.refused_code, study.refused);
  std::vector<fs::path> sources{study.ct, study.cxr, study.mask};
  if (lateral) sources.push_back(study.cxr_lateral);
  for (const auto& [kind, file] : study.masks) sources.push_back(file);
  for (const fs::path& source : sources) {
    if (!source.empty() && !fs::exists(source)) {
      throw RejectedStudy("missing-file",
                          fmt::format("study {}: {} does not exist", study.id, source.string()));
    }
  }
  CaseRecord& record = prepared.record;
  record.id = study.id;
  record.ct_source = as_given(study, study.ct.string());
  record.xrays[0].source = as_given(study, study.cxr.string());
  record.xrays[1].source = as_given(study, study.cxr_lateral.string());
  record.choices = study.notes;
  record.mask_source = valid_utf8(study.mask.string());
  record.masks = masks_text(study);
  if (!study.ct.empty()) prepare_ct(study, options, seed, prepared);
  if ((!study.cxr.empty() || lateral) && !record.cxr_rendered)
    prepare_cxr(study, options, prepared);
}

CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                           const fs::path& out) {
  PreparedCase prepared;
  prepared.keep_scan = true;
  // Whatever a study does that no step foresaw must not stop the run.
  run_step("failed", "preparing " + study.id,
           [&] { prepare_case(study, options, seed, prepared); });
  CaseRecord& record = prepared.record;
  if (prepared.scan) add_scan_warnings(study, options, prepared);
  const std::optional<Volume> lungs = lungs_to_keep(study, prepared);
  prepared.scan.reset();
  if (prepared.ct) {
    const bool whole_numbers =
        options.modality == Modality::ct || options.intensity == Intensity::volume_percentiles;
    write_nifti(*prepared.ct, out / record.ct, description(options), whole_numbers);
    record.ct_bytes = bytes_of(out / record.ct);
    write_masks(study, *prepared.ct, options, out, record);
    if (lungs) {
      write_share(resample(*lungs, grid_of(*prepared.ct), Interpolation::linear, 0), out,
                  mask_file(study.id, "lung"), record);
    }
  }
  for (size_t v = 0; v < record.xrays.size(); ++v) {
    if (!prepared.cxr[v].defined()) continue;
    write_png16(prepared.cxr[v], out / record.xrays[v].file);
    record.xrays[v].bytes = bytes_of(out / record.xrays[v].file);
  }
  return record;
}

}  // namespace x2ctpa
