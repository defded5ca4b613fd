#include "x2ctpa/data/check/check.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "data/check/check_parts.h"
#include "data/preprocess/intensity.h"
#include "data/preprocess/threads.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

// What to do, by code. Codes of rejections first, as in docs/troubleshooting.md.
const std::map<std::string, const char*> advice = {
    {"missing-file", "Correct the path in the manifest; paths are relative to the manifest."},
    {"empty-study", "Give the row a ct or a cxr, or remove it."},
    {"ct-unreadable",
     "`x2ctpa info` on the folder shows every series and what is wrong with it. "
     "Export the study again, or leave it out."},
    {"ct-not-resampled", "The message says why; check the geometry with `x2ctpa info`."},
    {"no-lungs", "Not a chest, not in HU, or cut. Look at the picture; try --preprocess.box body."},
    {"no-body", "The values are not HU; convert the volume again with slope and intercept."},
    {"cxr-unreadable", "Export the X-ray again as DICOM (CR, DX) or PNG, or leave it out."},
    {"flat-volume", "The volume holds one value only; export it again or leave it out."},
    {"out-of-memory", "Run with --preprocess.workers 1, or on a machine with more memory."},
    {"failed", "Report this: no step foresaw it. Leave the study out meanwhile."},
    {"not-hu",
     "Convert from DICOM again with rescale slope and intercept applied. A mask belongs into the "
     "manifest's column mask. For MR, set preprocess.modality and preprocess.intensity."},
    {"air-not-1000", "Check rescale slope and intercept; recalibrate or leave the scan out."},
    {"clipped", "Take the volume before it was windowed, or narrow the window of the dataset."},
    {"few-grey-levels", "Take the original instead of a copy that went through 8 bits."},
    {"thick-slices", "Take the thin reconstruction of the same scan where there is one."},
    {"unit-spacing", "Compare with the DICOM header; correct the header if the spacing was lost."},
    {"forms-differ",
     "Nothing where the picture lies right; else correct the header, or set "
     "preprocess.nifti_form."},
    {"forms-contradict",
     "Compare with the source, then correct qform and sform, or choose one for all volumes with "
     "preprocess.nifti_form."},
    {"no-orientation", "Convert the volume again from its source, with its orientation."},
    {"orientation-assumed", "Look whether left and right are right; write the orientation."},
    {"odd-extent", "Check spacing and field of view; a wrong spacing distorts every distance."},
    {"short-scan", "Not a whole chest: leave it out, or use a fixed preprocess.field_of_view_mm."},
    {"lungs-cut-off", "Use it if the cut is small; else leave it out. The missing part is air."},
    {"oblique", "Nothing: it is resampled along the patient's axes. Look at large angles."},
    {"grid-finer-than-scan", "Detail there is interpolated; a coarser preprocess.grid saves time."},
    {"mirrored",
     "Look at the picture. A collapsed, white or removed lung that pulls the heart over looks the "
     "same, and situs inversus is rare (1 in 10,000). A converted file: compare it with its DICOM "
     "original, and convert it again if it is mirrored."},
    {"upside-down",
     "Look at the picture. A converted file: compare it with its DICOM original and convert it "
     "again. DICOM files: their image position is wrong, or the lungs are of odd shape."},
    {"back-to-front",
     "Look at the picture: the patient may have lain prone without the header saying so. A "
     "converted file: compare it with its DICOM original and convert it again."},
    {"gap", "Missing slices are interpolated; export the series again if you can."},
    {"uneven-spacing", "Resampled to even slices; look whether slices are missing."},
    {"tilt", "Resampled along the true axes; nothing to do."},
    {"duplicate-position",
     "One slice of each position is used; check for two series in one folder."},
    {"mixed-size", "Slices of another size were dropped; check for two series in one folder."},
    {"unreadable-file", "Copy the named files again; their slices count as missing."},
    {"no-geometry", "Export again with image position, orientation and pixel spacing."},
    {"wrong-modality", "Remove the series, or set preprocess.modality if it is what you want."},
    {"too-few-slices",
     "A single image or a few are no volume: copy the whole series, or remove them."},
    {"not-axial", "Take the axial reconstruction of the same scan."},
    {"no-ct-series", "Copy the CT series itself; what is there is listed in the finding."},
    {"multi-frame",
     "Export as an enhanced CT with a position for each frame, or as single slices."},
    {"secondary-capture", "A picture of a screen has no HU: export the original series."},
    {"no-rescale",
     "Export again with rescale slope and intercept; without them the values are not HU."},
    {"archive-refused", "The message says why; unpack the archive by hand and give the folder."},
    {"localizer", "Nothing: scouts are left out."},
    {"series-passed-over", "Nothing, unless it is the series that you want."},
    {"not-chest",
     "Look at the picture; remove the X-ray from the manifest if it is none of a chest."},
    {"lateral", "Take the frontal view of the same examination, or remove the X-ray."},
    {"polarity", "Look at the picture: bone must be bright. Invert the file if it is not."},
    {"unlike", "Look at the picture; it may be a child, a white lung, or no chest."},
    {"range", "Nothing where the picture is neither too bright nor too dark."},
    {"turned", "Nothing where the picture stands upright."},
    {"blank", "Export the X-ray again; it shows nothing."},
    {"frames", "Give a file of the frame that is meant."},
    {"window", "Look at the picture; the header's display window hides it and was not used."},
    {"cxr-blank", "Export the X-ray again; it shows nothing."},
    {"cxr-lateral", "Take the frontal view of the same examination, or remove the X-ray."},
    {"cxr-not-chest", "Look at the picture; remove the X-ray from the manifest if it is none."},
    {"cxr-not-rendered", "The message says why; check geometry and size of the volume."},
    {"no-mask", "Name a mask in the manifest's column mask, or choose another preprocess.box."},
    {"mask-unreadable", "Correct the path or the file of the mask."},
    {"mask-unusable", "The message says why; the mask must lie in the scan."},
    {"cxr-doubtful", "Look at the picture."},
    {"cxr-saturated", "Look at the picture; take the X-ray before its window was applied."},
    {"cxr-small", "Take the X-ray at its full size, or lower preprocess.cxr_size."},
    {"leakage",
     "Put all studies of a patient, and equal images, into one split, or leave the "
     "split empty to have it chosen."},
    {"splits-file", "Correct the file of preprocess.splits_file."},
    {"duplicate-across-patients",
     "Find out whose image it is; give these studies one patient_id, "
     "or remove all but one."},
    {"duplicate", "Remove all but one, unless one image belongs to several pairs."},
    {"unpaired", "Nothing: the autoencoder uses single volumes. Pair them where you can."},
    {"no-pairs", "Give a manifest with ct and cxr in one row."},
    {"labels", "Nothing."},
    {"no-labels", "Without the column pe there is no classifier; all else works."},
    {"one-class", "A classifier needs both classes; check the column pe."},
    {"no-contrast", "Look whether it is a CT of another protocol or phase; leave it out if so."},
    {"weak-contrast", "Usable; expect small emboli to be hard to see."},
    {"plain-ct", "Nothing, if you mean plain CT. For CTPA, check which series was exported."},
};

void add_rejection(const RejectedStudy& e, StudyCheck& check) {
  check.reason_code = e.reason_code();
  check.reason = e.what();
  check.findings.push_back(
      {Severity::error, e.reason_code(), check.study.id, std::string("rejected: ") + e.what()});
}

// What reading the volume and finding its lungs said. What series and X-rays say is added by those
// who look closer at them.
void add_record_warnings(const CaseRecord& record, StudyCheck& check) {
  for (const std::string& warning : record.warnings) {
    const auto colon = warning.find(": ");
    const std::string code = warning.substr(0, colon);
    static const std::set<std::string> of_volumes = {
        "lungs-cut-off", "unit-spacing", "forms-differ", "forms-contradict", "orientation-assumed"};
    const bool known = std::any_of(check.findings.begin(), check.findings.end(),
                                   [&](const Finding& finding) { return finding.code == code; });
    if (of_volumes.contains(code) && !known)
      check.findings.push_back(
          {Severity::warning, code, check.study.id, warning.substr(colon + 2)});
  }
}

StudyCheck check_study(const Study& study, const PreprocessOptions& options) {
  StudyCheck check{study};
  check.pictures.resize(3);
  PreparedCase prepared;
  prepared.keep_scan = true;
  try {
    prepare_case(study, options, /*seed=*/0, prepared);
  } catch (const RejectedStudy& e) {
    add_rejection(e, check);
  } catch (const std::exception& e) {
    add_rejection({"failed", translate_exception(e, "preparing " + study.id).what()}, check);
  }
  try {
    examine_series(study, options.input.series, check);
    if (prepared.scan) examine_ct(prepared, options, check);
    add_record_warnings(prepared.record, check);
    if (!study.cxr.empty()) {
      const bool any_picture = options.source == PictureSource::picture;
      examine_cxr(read_radiograph(study.cxr, any_picture ? CxrInvert::never : options.cxr.invert),
                  options, check);
    } else if (prepared.record.cxr_rendered) {
      check.pictures[2] = thumbnail(prepared.cxr, {1, 1});
    }
  } catch (const std::exception& e) {
    // The study itself was read: what could not be measured must not hide the rest.
    log_debug("checking {}: {}", study.id, e.what());
  }
  return check;
}

}  // namespace

const char* severity_name(Severity severity) {
  switch (severity) {
    case Severity::info:
      return "info";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "";
}

std::string advice_for(const std::string& code) {
  const auto found = advice.find(code);
  return found == advice.end() ? "See docs/troubleshooting.md." : found->second;
}

Severity StudyCheck::worst() const {
  Severity worst = Severity::info;
  for (const Finding& finding : findings) worst = std::max(worst, finding.severity);
  return worst;
}

int64_t CheckReport::usable() const {
  return std::count_if(studies.begin(), studies.end(), [](const auto& s) { return s.usable(); });
}

int64_t CheckReport::count(Severity severity) const {
  const auto of = [&](const std::vector<Finding>& list) {
    return std::count_if(list.begin(), list.end(),
                         [&](const Finding& f) { return f.severity == severity; });
  };
  int64_t total = of(findings);
  for (const StudyCheck& study : studies) total += of(study.findings);
  return total;
}

CheckReport check_studies(const std::vector<Study>& studies, const PreprocessOptions& given) {
  const PreprocessOptions options = with_preset(given);
  check_options(options);
  CheckReport report;
  report.studies.resize(studies.size());
  const auto count = int64_t(studies.size());
  Progress progress("checking", count);
  std::mutex mutex;
  const int64_t workers = options.workers > 0 ? options.workers : available_cores();
  for_each_parallel(count, workers, [&](int64_t i) {
    stop_if_interrupted();
    const auto n = size_t(i);
    report.studies[n] = check_study(studies[n], options);
    const std::lock_guard lock(mutex);
    progress.advance(1, studies[n].id);
  });
  progress.finish();
  report.findings = examine_set(report.studies, options);
  return report;
}

}  // namespace x2ctpa
