// Which of a study's series is the CTPA: a stated rule whose parts and order are options.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {

/// Section `preprocess.series`. Candidates are the readable axial CT series. They are compared by
/// the criteria in `order`; the first in which two differ decides:
///   coverage  at least half as long (in mm) as the longest candidate
///   original  ORIGINAL before DERIVED\PRIMARY before other derived images
///   words     no word of `avoid`, then a word of `prefer`, in description or protocol
///   contrast  a contrast agent is named, or the words say so; words that deny it count against
///   slices    more slices
///   kernel    the earlier in `kernels`
///   spacing   the smaller slice distance
/// What is equal in all of them is decided by the series UID.
struct SeriesRule {
  std::vector<std::string> order = {"coverage", "original", "words",  "contrast",
                                    "slices",   "kernel",   "spacing"};
  std::vector<std::string> prefer = {"ctpa", "cta", "pe", "pulm", "embol", "angio"};
  std::vector<std::string> avoid = {"scout",   "topogram",  "localizer",  "bolus",
                                    "monitor", "smartprep", "timing",     "dose",
                                    "mip",     "minip",     "mpr",        "reformat",
                                    "vrt",     "perfusion", "iodine map", "subtract"};
  std::vector<std::string> kernels = {"B20",      "B25",  "B26",  "B30",  "B31",  "I26",
                                      "I30",      "I31",  "Br36", "Br40", "Bv36", "Bv40",
                                      "STANDARD", "SOFT", "FC08", "FC03", "B",    "C"};
  SeriesLimits limits;

  /// Throws Error for a criterion that is none of those above.
  void check() const;
  void describe(OptionList& options);
};

/// The place of a reconstruction kernel in rule.kernels; past its end when it is none of them.
size_t kernel_place(const std::string& kernel, const SeriesRule& rule);

struct SeriesChoice {
  std::optional<size_t> index;           ///< of the chosen series; none: nothing fits
  std::string reason;                    ///< why this one, or why none
  std::string reason_code;               ///< when none: the problem of the series that came nearest
  std::vector<std::string> passed_over;  ///< one line per other series and why it was not taken
};

/// Applies the rule. Texts name a series by its description, size and the end of its UID.
SeriesChoice choose_series(const std::vector<DicomSeries>& series, const SeriesRule& rule = {});

/// The chosen series of `folder`; the choice is logged when there was one.
/// Throws SeriesError that lists every series and why it does not fit, with ExitCode::no_data.
DicomSeries choose_ct_series(const std::vector<DicomSeries>& series,
                             const std::filesystem::path& folder, const SeriesRule& rule = {});

/// "'PE 1.0 B30f' (CT, 300 slices of 512 x 512, uid ...1234)".
std::string series_name(const DicomSeries& series);

}  // namespace x2ctpa
