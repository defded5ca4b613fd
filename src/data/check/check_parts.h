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

/// Adds facts and findings of a volume that was read, and its pictures.
void examine_ct(const PreparedCase& prepared, const PreprocessOptions& options, StudyCheck& check);

/// Adds what the headers of a DICOM folder say about its series.
void examine_series(const Study& study, const SeriesRule& rule, StudyCheck& check);

void examine_cxr(const Radiograph& xray, const PreprocessOptions& options, StudyCheck& check);

/// What can only be seen over all studies; sets their splits from the splits file.
std::vector<Finding> examine_set(std::vector<StudyCheck>& checks, const PreprocessOptions& options);

/// An 8-bit PNG of a picture (H, W) in [0, 1] whose pixels measure `pixel_mm` (rows, columns),
/// at most `side` pixels high and wide.
std::string thumbnail(const at::Tensor& picture, std::array<double, 2> pixel_mm);

}  // namespace x2ctpa
