// CSV tables of published data sets as manifests.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "data/studies/finds.h"
#include "data/studies/image_index.h"
#include "data/studies/manifest_rows.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// A number as tables hold it after pandas or a spreadsheet: "4015010182925.0" is 4015010182925.
std::string plain_number(std::string text) {
  const auto first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  text = first == std::string::npos ? "" : text.substr(first, last - first + 1);
  const bool is_float =
      text.size() > 2 && text.ends_with(".0") &&
      std::all_of(text.begin(), text.end() - 2, [](char c) { return c >= '0' && c <= '9'; });
  return is_float ? text.substr(0, text.size() - 2) : text;
}

// The PatientID of the first DICOM image in `path`; empty when there is none.
std::string patient_in(const fs::path& path) {
  std::error_code error;
  if (path.empty() || !fs::exists(path, error)) return {};
  std::vector<fs::path> files;
  if (!fs::is_directory(path, error))
    files.push_back(path);
  else
    for (fs::recursive_directory_iterator it(path, error);
         !error && it != fs::recursive_directory_iterator() && files.size() < 5;
         it.increment(error))
      if (it->is_regular_file(error) && kind_of(it->path()) == PathKind::maybe_dicom)
        files.push_back(it->path());
  for (const auto& file : files) {
    try {
      const std::string patient = read_dicom_tags(file).patient_id;
      if (!patient.empty()) return patient;
    } catch (const Error&) {
      continue;
    }
  }
  return {};
}

// Rows that share a CT or an X-ray are of one patient, whatever else is known of them.
void join_patients(std::vector<Study>& studies, std::vector<std::array<std::string, 3>> keys) {
  std::map<std::string, std::string> patient_of;
  for (size_t i = 0; i < studies.size(); ++i) keys[i][2] = "patient " + studies[i].patient_id;
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = 0; i < studies.size(); ++i) {
      for (const auto& key : keys[i]) {
        if (key.empty()) continue;
        const auto [known, is_new] = patient_of.try_emplace(key, studies[i].patient_id);
        const std::string both = std::min(known->second, studies[i].patient_id);
        changed |= !is_new && (both != known->second || both != studies[i].patient_id);
        known->second = studies[i].patient_id = both;
      }
    }
  }
}

}  // namespace

void ManifestRow::fail(const std::string& column, const std::string& expected) const {
  throw Error(fmt::format("{}: row {}: {} must be {}, found '{}'", file.string(), index + 1, column,
                          expected, get(column)));
}

std::optional<double> ManifestRow::number(const std::string& column) const {
  const std::string text = get(column);
  if (text.empty()) return {};
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  if (used != text.size() || !std::isfinite(value)) fail(column, "a number or empty");
  return value;
}

std::optional<int> ManifestRow::label(const std::string& column) const {
  const std::string text = get(column);
  if (text.empty() || text == "unknown") return {};
  // Tables that went through a spreadsheet or pandas hold 1.0.
  const std::optional<double> value = number(column);
  if (*value != 0 && *value != 1) fail(column, "0, 1, empty or unknown");
  return int(*value);
}

std::vector<Study> read_accession_layout(const CsvTable& table, const fs::path& file,
                                         const InputOptions& options) {
  const ManifestOptions& columns = options.manifest;
  if (!table.has_column(columns.ct_column) && !table.has_column(columns.cxr_column))
    table.require_columns({columns.ct_column, columns.cxr_column});
  ImageIndex index(images_folder(file, options), options);
  std::vector<Study> studies;
  std::vector<std::array<std::string, 3>> keys;
  std::set<std::string> taken;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    const std::string ct = plain_number(row.get(columns.ct_column)),
                      cxr = plain_number(row.get(columns.cxr_column));
    Study study;
    study.id = unique_id(safe_id(ct.empty() ? cxr : ct), taken);
    study.pe = row.label(columns.label_column);
    if (study.pe && columns.label_inverted) study.pe = 1 - *study.pe;
    study.split = row.get("split");
    if (!ct.empty()) {
      study.ct = index.ct_named(ct);
      if (const Find* find = study.ct.empty() ? index.by_accession(ct, true) : nullptr)
        take(*find, study);
      if (study.ct.empty()) study.ct = images_folder(file, options) / ct;
    }
    if (!cxr.empty()) {
      study.cxr = index.cxr_named(cxr);
      if (const Find* find = study.cxr.empty() ? index.by_accession(cxr, false) : nullptr)
        take(*find, study);
      if (study.cxr.empty()) study.cxr = images_folder(file, options) / cxr;
    }
    study.patient_id = row.get(columns.patient_column);
    if (study.patient_id.empty())
      if (const auto patient = patient_in(study.ct.empty() ? study.cxr : study.ct);
          !patient.empty())
        study.patient_id = hashed_patient(patient, options.find);
    if (study.patient_id.empty()) study.patient_id = study.id;
    studies.push_back(std::move(study));
    keys.push_back({ct.empty() ? "" : "ct " + ct, cxr.empty() ? "" : "cxr " + cxr, ""});
  }
  join_patients(studies, std::move(keys));
  return studies;
}

std::vector<Study> read_lidc_layout(const CsvTable& table, const fs::path& file,
                                    const InputOptions& options) {
  table.require_columns({"Subject ID"});
  const fs::path root = images_folder(file, options);
  std::optional<ImageIndex> index;
  const bool has_places = table.has_column("File Location");
  if (!has_places) index.emplace(root, options);
  std::map<std::string, std::vector<Study>> scans;  // by subject
  std::map<std::string, fs::path> xrays;
  std::vector<std::string> order;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    const std::string subject = row.get("Subject ID"), modality = row.get("Modality");
    if (subject.empty()) row.fail("Subject ID", "given");
    if (std::find(order.begin(), order.end(), subject) == order.end()) order.push_back(subject);
    std::string place = row.get("File Location");
    std::replace(place.begin(), place.end(), '\\', '/');
    const fs::path path = has_places ? (root / place).lexically_normal() : fs::path();
    if (modality == "CR" || modality == "DX") xrays.try_emplace(subject, path);
    if (modality != "CT" && !modality.empty()) continue;
    Study study;
    study.patient_id = subject;
    if (has_places)
      study.ct = path;
    else if (const fs::path named = index->ct_named(subject); !named.empty())
      study.ct = named;
    else
      study.ct = root / subject;
    study.ct_series_uid = row.get("Series UID");
    if (study.ct_series_uid.empty()) study.ct_series_uid = row.get("Series Instance UID");
    scans[subject].push_back(std::move(study));
  }
  std::vector<Study> studies;
  std::set<std::string> taken;
  for (const std::string& subject : order) {
    auto& of_subject = scans[subject];
    if (of_subject.empty()) of_subject.push_back({.patient_id = subject});
    for (Study& study : of_subject) {
      study.id = unique_id(safe_id(subject), taken);
      if (const auto xray = xrays.find(subject); xray != xrays.end()) study.cxr = xray->second;
      if (!has_places && study.cxr.empty()) study.cxr = choose_xray(study.ct);
      studies.push_back(std::move(study));
    }
  }
  return studies;
}

std::vector<Study> read_rspect_layout(const CsvTable& table, const fs::path& file,
                                      const InputOptions& options) {
  table.require_columns({"StudyInstanceUID", "SeriesInstanceUID"});
  ImageIndex index(images_folder(file, options), options);
  std::vector<std::string> groups = group_columns(ManifestLayout::rspect, options.manifest);
  std::erase_if(groups, [&](const std::string& column) { return !table.has_column(column); });
  std::vector<Study> studies;
  std::map<std::string, size_t> row_of;
  int64_t indeterminate = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    const std::string study_uid = row.get("StudyInstanceUID"),
                      series_uid = row.get("SeriesInstanceUID");
    std::optional<int> pe = row.label("negative_exam_for_pe");
    if (pe) pe = 1 - *pe;
    // An exam that nobody could judge is neither.
    const bool unclear = row.label("indeterminate").value_or(0) == 1;
    if (unclear) pe = std::nullopt;
    const auto [known, is_new] = row_of.try_emplace(study_uid + "_" + series_uid, studies.size());
    if (!is_new) {
      if (studies[known->second].pe != pe)
        row.fail("negative_exam_for_pe", "the same in every row of a series");
      continue;
    }
    indeterminate += unclear;
    Study study;
    study.id = safe_id(study_uid + "_" + series_uid);
    study.patient_id = safe_id(study_uid);
    study.pe = pe;
    study.split = row.get("split");
    for (const auto& group : groups) study.groups[group] = row.get(group);
    study.ct = index.ct_named(series_uid);
    if (const Find* find = study.ct.empty() ? index.by_study(study_uid) : nullptr) {
      study.ct = find->source;
      study.ct_series_uid = series_uid;
    }
    if (study.ct.empty()) study.ct = images_folder(file, options) / study_uid / series_uid;
    studies.push_back(std::move(study));
  }
  if (indeterminate > 0)
    log_info("{}: {} indeterminate exams are taken as of unknown PE", file.string(), indeterminate);
  return studies;
}

}  // namespace x2ctpa
