// The data doctor: what is right and wrong with studies, found before a dataset is made of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/data/preprocess/findings.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/data/studies/manifest.h"

namespace x2ctpa {

struct CxrFacts {
  int64_t height = 0, width = 0, bits = 0;
  std::string photometric, modality;
  bool inverted = false;
  double mean = 0;   ///< of the pixels in [0, 1], bone bright
  std::string hash;  ///< SHA-256 of the pixels and their number
};

struct StudyCheck {
  Study study;
  std::optional<CtFacts> ct;
  std::optional<CxrFacts> cxr;
  std::string reason_code, reason;  ///< of the rejection; empty: usable
  std::vector<Finding> findings;
  std::vector<std::string> pictures;  ///< PNG files: axial, coronal, X-ray; empty where not read

  bool usable() const { return reason_code.empty(); }
  Severity worst() const;
};

struct CheckReport {
  std::vector<StudyCheck> studies;  ///< in the order of the input
  std::vector<Finding> findings;    ///< that concern more than one study

  int64_t usable() const;
  int64_t count(Severity severity) const;  ///< of all findings
};

/// Reads every study as preprocess would, in parallel, and writes nothing.
///
/// Beside what preprocess rejects it looks at: patients and equal images in more than one given
/// split, equal images by the hash of their pixels, pairs and labels; HU (unit, air, clipping, grey
/// levels); geometry (slices, extent, obliqueness, cut lungs); whether the anatomy is mirrored,
/// upside down or back to front; the contrast; doubts about the X-rays.
/// Throws Error(interrupted) after a signal.
CheckReport check_studies(const std::vector<Study>& studies, const PreprocessOptions& options);

}  // namespace x2ctpa
