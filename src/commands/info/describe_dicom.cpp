#include "commands/info/describe_dicom.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/volume/volume.h"

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
                       {"notes", series.notes},
                       {"readable", series.readable()}};
  if (!series.readable()) json["unreadable_because"] = series.reason;
  return json;
}

// The series of each study of each patient. Their order is that of the first series of each.
std::vector<std::vector<DicomSeries>> by_study(const std::vector<DicomSeries>& series) {
  std::vector<std::vector<DicomSeries>> studies;
  std::map<std::string, size_t> place;
  for (const DicomSeries& one : series) {
    const std::string key = one.tags->patient_id + "\n" + one.tags->study_uid;
    const auto [found, is_new] = place.try_emplace(key, studies.size());
    if (is_new) studies.emplace_back();
    studies[found->second].push_back(one);
  }
  return studies;
}

// Which series of a study preprocess would take, and why.
ordered_json describe_choice(const std::vector<DicomSeries>& study, const fs::path& path) {
  const SeriesChoice choice = choose_series(study);
  ordered_json json = {{"chosen", nullptr}, {"reason", choice.reason}};
  if (choice.index)
    json["chosen"] = study[*choice.index].uid;
  else
    json["reason"] = fmt::format("{} ({}): {}", choice.reason, choice.reason_code, path.string());
  json["passed_over"] = choice.passed_over;
  return json;
}

}  // namespace

bool is_xray(const DicomSeries& series) {
  static const std::set<std::string> xrays = {"CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  return xrays.contains(series.modality);
}

ordered_json describe_dicom(const fs::path& path, const std::vector<DicomSeries>& series) {
  const auto studies = by_study(series);
  ordered_json json = {{"kind", "dicom"}, {"studies", studies.size()}};
  json["series"] = ordered_json::array();
  for (size_t i = 0; i < studies.size(); ++i) {
    for (const DicomSeries& one : studies[i]) {
      json["series"].push_back({{"study", i + 1}});
      json["series"].back().update(describe_series(one));
    }
  }
  // One study is told as it always was; series of several are not rivals.
  if (studies.size() == 1) {
    json.update(describe_choice(studies[0], path));
    return json;
  }
  json["choices"] = ordered_json::array();
  for (size_t i = 0; i < studies.size(); ++i) {
    if (std::all_of(studies[i].begin(), studies[i].end(), is_xray)) continue;
    ordered_json choice = {{"study", i + 1}};
    choice.update(describe_choice(studies[i], path));
    json["choices"].push_back(choice);
  }
  return json;
}

}  // namespace x2ctpa
