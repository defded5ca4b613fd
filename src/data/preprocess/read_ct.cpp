#include "data/preprocess/read_ct.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "x2ctpa/imaging/volume_io.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// The series of a DICOM folder by the rule, or the one that the manifest names.
DicomSeries choose_in_folder(const Study& study, const SeriesRule& rule, CtReading& reading) {
  std::vector<DicomSeries> series = scan_dicom_folder(study.ct, rule.limits);
  if (!study.ct_series_uid.empty()) {
    const auto wanted = std::find_if(series.begin(), series.end(), [&](const DicomSeries& s) {
      return s.uid == study.ct_series_uid;
    });
    if (wanted == series.end())
      throw SeriesError("no-ct-series",
                        fmt::format("{}: no series with the uid {} that the manifest names",
                                    study.ct.string(), study.ct_series_uid));
    series = {*wanted};
  }
  const SeriesChoice choice = choose_series(series, rule);
  if (choice.index && series.size() > 1) {
    reading.notes.push_back(
        fmt::format("chosen: {}, {}", series_name(series[*choice.index]), choice.reason));
    for (const auto& line : choice.passed_over) reading.notes.push_back("passed over: " + line);
  }
  return choose_ct_series(series, study.ct, rule);
}

// "code: sentence" of a series' problem. Notes begin with the code themselves.
std::string doubt(const DicomSeries& series, const std::string& code) {
  for (const std::string& note : series.notes)
    if (note.starts_with(code + ": ")) return note;
  return code + ": see `x2ctpa info` on the folder";
}

}  // namespace

CtReading read_ct(const Study& study, const SeriesRule& rule, NiftiForm form) {
  CtReading reading;
  std::error_code error;
  if (study.ct_series || fs::is_directory(study.ct, error)) {
    DicomSeries series =
        study.ct_series ? *study.ct_series : choose_in_folder(study, rule, reading);
    reading.volume = read_dicom_series(series);
    reading.problems = series.problems;
    for (const std::string& code : series.problems) reading.doubts.push_back(doubt(series, code));
    return reading;
  }
  VolumeDoubts doubts;
  reading.volume = read_volume(study.ct, form, &doubts);
  reading.problems = doubts.codes;
  for (size_t i = 0; i < doubts.codes.size(); ++i)
    reading.doubts.push_back(doubts.codes[i] + ": " + doubts.notes[i]);
  return reading;
}

}  // namespace x2ctpa
