// Generated volumes as DICOM: one derived CT series per volume that says of itself, in every file,
// that it is synthetic. Nothing comes from another DICOM file.
#pragma once

#include <filesystem>
#include <string>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

struct SyntheticSeries {
  std::string subject_id;  ///< becomes the patient's id and name; must identify nobody
  std::string derivation;  ///< how it was made, up to 1024 characters
  std::string version;     ///< of the program
  std::string unique;      ///< what tells this volume from all others; its UIDs follow from it
  std::string study;       ///< what tells its X-ray from all others: the study's UID follows from
                           ///< it; empty: `unique`
  int64_t number = 1;      ///< of the series in its study
  std::string which;       ///< stands in the description of the series: "sample 2, seed 0"
  double window_centre_hu = 150, window_width_hu = 700;  ///< how viewers show it at first
};

/// Writes `volume` into `folder` as 0001.dcm (feet) to the last slice: CT Image Storage, DERIVED
/// and SECONDARY, Synthetic Data (0008,001C) YES, 16 bits with intercept -1024, HU rounded and
/// clipped to [-1024, 3071]. Series of one study that lie on one grid share its frame of reference.
/// The folder appears whole or not at all; one that was there is
/// replaced. The same `unique` gives the same bytes. Throws Error naming the folder when the disk
/// refuses.
void write_synthetic_series(const Volume& volume, const std::filesystem::path& folder,
                            const SyntheticSeries& series);

}  // namespace x2ctpa
