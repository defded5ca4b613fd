// Where a CT's part of the dataset lies, and the CT sampled there.
#pragma once

#include "preprocess_case.h"
#include "x2ctpa/imaging/volume.h"

namespace x2ctpa {

// Scanners fill what lies outside the field of view with values such as -2048 or -3024; averaged
// with skin they would make a dark rim.
constexpr double kAirHu = -1024;

/// `volume` (HU, oriented) on the dataset's grid around the lungs, the body, the mask of the study
/// or the whole scan, as the options say. Sets lung_litres and warnings of `record`. Throws
/// RejectedStudy.
Volume on_dataset_grid(const Volume& volume, const Study& study, const PreprocessOptions& options,
                       CaseRecord& record);

}  // namespace x2ctpa
