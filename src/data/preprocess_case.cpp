#include "preprocess_case.h"

#include <fmt/format.h>

#include "case_grid.h"
#include "read_ct.h"
#include "x2ctpa/imaging/radiograph.h"
#include "x2ctpa/imaging/volume_io.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

/// Writes the case's X-ray and takes its numbers for the set's statistics.
void write_xray(const torch::Tensor& picture, const fs::path& out, CaseRecord& record) {
  record.cxr = fmt::format("cxr/{}.png", record.id);
  record.cxr_mean = picture.mean(torch::kDouble).item<double>();
  record.cxr_mean_square = picture.square().mean(torch::kDouble).item<double>();
  write_png16(picture, out / record.cxr);
}

/// The X-ray that the CT would give, its central ray through the middle of the dataset's volume.
void render_cxr(const Volume& volume, const Vec3& centre_mm, const PreprocessOptions& options,
                int64_t seed, const fs::path& out, CaseRecord& record) {
  DrrOptions drr;
  static_cast<DrrRendering&>(drr) = options.drr;
  drr.size = 2 * options.cxr_size;  // and then averaged, as a detector's pixels do
  drr.source_to_detector_mm = options.geometry.source_to_detector_mm;
  drr.source_to_centre_mm = options.geometry.source_to_centre_mm;
  drr.detector_mm = options.geometry.detector_mm;
  const auto picture = run_step("cxr-not-rendered", "rendering an X-ray from " + record.ct_source, [&] {
    return drr_picture(volume, drr, seed, record.id, centre_mm);
  });
  record.cxr_rendered = true;
  write_xray(square_radiograph(picture, options.cxr_size), out, record);
}

/// A chest of impossible size most likely lost its spacing on the way.
void refuse_unit_spacing(const Study& study, const PreprocessOptions& options,
                         const CaseRecord& record) {
  const auto& problems = record.ct_problems;
  const bool doubtful = std::find(problems.begin(), problems.end(), "unit-spacing") != problems.end();
  if (!doubtful || (options.box != "lungs" && options.box != "body")) return;
  throw RejectedStudy("unit-spacing",
                      fmt::format("{}: its voxels are 1 x 1 x 1 mm, which makes no chest of it; the "
                                  "spacing was most likely lost in a conversion",
                                  study.ct.string()));
}

void process_ct(const Study& study, const PreprocessOptions& options, int64_t seed,
                const fs::path& out, CaseRecord& record) {
  const CtReading reading = run_step("ct-unreadable", "reading " + study.ct.string(),
                                     [&] { return read_ct(study, options.input.series); });
  record.ct_problems = reading.problems;
  record.choices.insert(record.choices.end(), reading.notes.begin(), reading.notes.end());
  refuse_unit_spacing(study, options, record);
  Volume volume = oriented_to_lps(reading.volume);
  volume.hu.clamp_min_(kAirHu);
  const Volume resampled = on_dataset_grid(volume, study, options, record);
  record.ct = fmt::format("ct/{}.nii", study.id);
  record.spacing_mm = resampled.spacing_mm;
  write_nifti(resampled, out / record.ct, "CT in HU, x2ctpa dataset");
  if (options.cxr_from_ct == "all" || (options.cxr_from_ct == "missing" && study.cxr.empty())) {
    render_cxr(volume, resampled.centre_mm(), options, seed, out, record);
  }
}

void process_cxr(const Study& study, const PreprocessOptions& options, const fs::path& out,
                 CaseRecord& record) {
  CxrOptions reading = options.cxr;
  // The place of a simulated X-ray's pixels is known, and must stay.
  if (study.cxr_centre_mm) reading.trim = false;
  const ModelXray xray = run_step("cxr-unreadable", "reading " + study.cxr.string(), [&] {
    try {
      return load_model_xray(study.cxr, options.cxr_size, reading);
    } catch (const RefusedXray& e) {
      throw RejectedStudy(e.reason_code(), e.what());
    }
  });
  record.warnings.insert(record.warnings.end(), xray.warnings.begin(), xray.warnings.end());
  write_xray(xray.picture, out, record);
}

}  // namespace

CaseRecord preprocess_case(const Study& study, const PreprocessOptions& options, int64_t seed,
                           const fs::path& out) {
  if (study.ct.empty() && study.cxr.empty()) {
    throw RejectedStudy("empty-study",
                        fmt::format("study {} has neither a CT nor an X-ray", study.id));
  }
  if (!study.refused.empty()) throw RejectedStudy(study.refused_code, study.refused);
  for (const fs::path& source : {study.ct, study.cxr, study.mask}) {
    if (!source.empty() && !fs::exists(source)) {
      throw RejectedStudy("missing-file",
                          fmt::format("study {}: {} does not exist", study.id, source.string()));
    }
  }
  CaseRecord record;
  record.id = study.id;
  record.ct_source = as_given(study, study.ct.string());
  record.cxr_source = as_given(study, study.cxr.string());
  record.choices = study.notes;
  record.mask_source = study.mask.string();
  if (!study.ct.empty()) process_ct(study, options, seed, out, record);
  if (!study.cxr.empty() && !record.cxr_rendered) process_cxr(study, options, out, record);
  return record;
}

}  // namespace x2ctpa
