#include "x2ctpa/data/preprocess/findings.h"

#include <map>
#include <string>

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
    {"cxr-views", "Look at both X-rays and give each in its column, or remove the wrong one."},
    {"views-exchanged", "Exchange cxr and cxr_lateral in the manifest, or correct the headers."},
    {"not-lateral", "Give the lateral view of the same examination in cxr_lateral."},
    {"two-laterals", "Give the frontal view of the same examination in cxr."},
    {"two-frontals", "Give the lateral view of the same examination in cxr_lateral."},
    {"two-patients", "Give the two views of one patient; the headers name two."},
    {"view-unreadable", "Export the view again as DICOM (CR, DX) or PNG, or leave it out."},
    {"faces-right", "Nothing: it is turned over as its header says."},
    {"looks-right",
     "Look at the picture: the patient must look to the left. Mirror the file if not."},
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

}  // namespace x2ctpa
