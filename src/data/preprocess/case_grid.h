// Where a CT's part of the dataset lies, and the CT sampled there.
#pragma once

#include "data/preprocess/preprocess_case.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

// Scanners fill what lies outside the field of view with values such as -2048 or -3024; averaged
// with skin they would make a dark rim.
constexpr double air_hu = -1024;

/// The voxels of `box` and margin_mm around it, as far as there are any, in their place: a view.
Volume boxed(const Volume& volume, const Box& box, double margin_mm);

/// `volume` (oriented; HU, or another modality's values) on the dataset's grid around the lungs,
/// the body, the mask of the study or the whole scan, as the options say; `outside` beyond the
/// scan. Sets the lungs, and lung_litres and warnings of the record, of `prepared`. Throws
/// RejectedStudy.
Volume on_dataset_grid(const Volume& volume, const Study& study, const PreprocessOptions& options,
                       double outside, PreparedCase& prepared);

}  // namespace x2ctpa
