// The parts of the data doctor.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "data/preprocess/preprocess_case.h"
#include "x2ctpa/data/check/check.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {

/// Adds facts and findings of a volume that was read; all but the hash of its voxels.
void judge_ct(const PreparedCase& prepared, const PreprocessOptions& options, StudyCheck& check);

/// The same with hash and pictures.
void examine_ct(const PreparedCase& prepared, const PreprocessOptions& options, StudyCheck& check);

/// Adds what the headers of a DICOM folder say about its series.
void examine_series(const Study& study, const SeriesRule& rule, StudyCheck& check);

void examine_cxr(const Radiograph& xray, const PreprocessOptions& options, StudyCheck& check);

/// What can only be seen over all studies; sets their splits from the splits file.
std::vector<Finding> examine_set(std::vector<StudyCheck>& checks, const PreprocessOptions& options);

/// Where a chest scan lies in its own numbers; each is clearly negative when the axis is turned.
struct AnatomyDirections {
  double left = 0;   ///< heart to the patient's left and right lung larger
  double head = 0;   ///< apices narrower than bases
  double front = 0;  ///< spine behind
};
AnatomyDirections anatomy_directions(const Volume& scan, const Lungs& lungs);

/// See CtFacts::contrast_hu.
std::optional<double> trunk_contrast_hu(const Volume& scan, const Lungs& lungs);

/// An 8-bit PNG of a picture (H, W) in [0, 1] whose pixels measure `pixel_mm` (rows, columns),
/// at most `side` pixels high and wide.
std::string thumbnail(const at::Tensor& picture, std::array<double, 2> pixel_mm);

}  // namespace x2ctpa
