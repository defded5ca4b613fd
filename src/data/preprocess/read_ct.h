// The CT of a study, read from wherever it was found.
#pragma once

#include <string>
#include <vector>

#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/volume/volume.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {

struct CtReading {
  Volume volume;                      ///< as stored
  std::vector<std::string> problems;  ///< codes of dicom_series.h and of VolumeDoubts
  std::vector<std::string> doubts;    ///< "code: sentence" for each
  std::vector<std::string> notes;  ///< what was chosen and passed over, when that was decided here
};

/// Throws SeriesError or Error.
CtReading read_ct(const Study& study, const SeriesRule& rule, NiftiForm form);

}  // namespace x2ctpa
