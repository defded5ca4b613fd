#include "commands/info/describe_dicom.h"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

struct Range {
  float min = 0, max = 0;
};

// The range of HU of a series; of its slices where they make no volume.
std::optional<Range> hu_range(DicomSeries& series) {
  if (series.readable()) {
    try {
      const Volume volume = read_dicom_series(series);
      return Range{volume.hu.min().item<float>(), volume.hu.max().item<float>()};
    } catch (const SeriesError& e) {
      series.refuse(e.reason_code(), e.what());
    }
  }
  if (series.modality != "CT") return std::nullopt;
  std::optional<Range> range;
  for (const auto& file : series.files) {
    try {
      const auto hu = read_dicom_slice(file).clamp_min(-1024);
      const Range one{hu.min().item<float>(), hu.max().item<float>()};
      range = range ? Range{std::min(range->min, one.min), std::max(range->max, one.max)} : one;
    } catch (const Error& e) {
      series.add_problem("unreadable-file", e.what());
    }
  }
  return range;
}

ordered_json describe_series(DicomSeries series) {
  const auto range = hu_range(series);
  const bool placed = !series.files.empty();
  ordered_json spacing = ordered_json::array();
  for (const double s : series.spacing_mm)
    spacing.push_back(s > 0 ? ordered_json(s) : ordered_json());
  ordered_json json = {{"uid", series.uid},
                       {"modality", series.modality},
                       {"description", series.tags->description},
                       {"slices", series.files.size()},
                       {"files_left_out", series.left_out.size()},
                       {"size", {series.size_dhw[2], series.size_dhw[1], series.size_dhw[0]}},
                       {"spacing_mm", spacing},
                       {"orientation", placed ? ordered_json(orientation_letters(series.direction))
                                              : ordered_json()},
                       {"axial", placed && series.axial()},
                       {"hu_min", range ? ordered_json(range->min) : ordered_json()},
                       {"hu_max", range ? ordered_json(range->max) : ordered_json()},
                       {"transfer_syntax", series.transfer_syntax},
                       {"problems", series.problems},
                       {"notes", series.notes}};
  json["unreadable_because"] = series.reason.empty() ? ordered_json() : ordered_json(series.reason);
  return json;
}

}  // namespace

std::string orientation_letters(const Mat3& direction) {
  std::string letters;
  for (size_t column = 0; column < 3; ++column) {
    size_t axis = 0;
    for (size_t row = 1; row < 3; ++row)
      if (std::abs(direction[row][column]) > std::abs(direction[axis][column])) axis = row;
    letters += (direction[axis][column] > 0 ? "LPS" : "RAI")[axis];
  }
  return letters;
}

bool is_xray(const DicomSeries& series) {
  static const std::set<std::string> xrays = {"CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  return xrays.contains(series.modality);
}

ordered_json describe_dicom(const fs::path& path, const std::vector<DicomSeries>& series) {
  ordered_json json = {{"kind", "dicom"}, {"series", ordered_json::array()}, {"chosen", nullptr}};
  for (const DicomSeries& one : series) json["series"].push_back(describe_series(one));
  const SeriesChoice choice = choose_series(series);
  json["reason"] = choice.reason;
  if (choice.index)
    json["chosen"] = series[*choice.index].uid;
  else
    json["reason"] = fmt::format("{} ({}): {}", choice.reason, choice.reason_code, path.string());
  json["passed_over"] = choice.passed_over;
  return json;
}

}  // namespace x2ctpa
