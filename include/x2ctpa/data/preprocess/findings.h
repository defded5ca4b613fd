// What is found of a study while it is read, and what to do about it: preprocess warns of it, the
// data doctor reports it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "x2ctpa/imaging/volume/volume.h"

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

}  // namespace x2ctpa
