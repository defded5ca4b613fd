// The data doctor: what is right and wrong with studies, found before a dataset is made of them.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/data/studies/manifest.h"

namespace x2ctpa {

enum class Severity { info, warning, error };

/// "info", "warning" or "error".
const char* severity_name(Severity severity);

struct Finding {
  Severity severity = Severity::warning;
  std::string code;   ///< a short word; those of rejected studies are as in rejected.csv
  std::string where;  ///< ids of the studies concerned
  std::string what;   ///< a sentence with figures
};

/// What to do about a finding. One text per code.
std::string advice_for(const std::string& code);

/// What was measured on a CT as it was read, turned into the canonical axes.
struct CtFacts {
  std::array<int64_t, 3> size_dhw{0, 0, 0};
  Vec3 spacing_mm{0, 0, 0};
  double obliqueness_degrees = 0;  ///< between the scan's axes and the patient's
  double min_value = 0, max_value = 0;
  std::optional<double> air_hu;  ///< what the air around or inside the patient measures
  double lung_litres = 0;        ///< 0: not measured
  /// An estimate of the contrast in the pulmonary trunk: the 95th percentile, smoothed over about
  /// 4 mm, of what lies between the lungs at the height of the trunk, spine left out. The ascending
  /// aorta and the superior vena cava lie there too, so the best enhanced of the three decides.
  std::optional<double> contrast_hu;
  std::string hash;  ///< SHA-256 of the voxels and their number
};

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
