#include "x2ctpa/imaging/dicom_series.h"

#include <ATen/Parallel.h>

#include <map>

#include "dicom_slice.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

/// Every regular file below `folder`, sorted so that nothing depends on the disk's order.
std::vector<fs::path> list_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error);
  if (error)
    throw Error(fmt::format("{}: the folder cannot be listed: {}.", folder.string(), error.message()));
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) throw Error(fmt::format("{}: the folder cannot be listed: {}.", folder.string(), error.message()));
    std::error_code ignored;
    if (it->is_regular_file(ignored) && it->path().filename() != "DICOMDIR") files.push_back(it->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string describe(const DicomSeries& s) {
  std::string text = fmt::format("series {} ({}, {} slices of {} x {})", s.uid.empty() ? "unknown" : s.uid,
                                 s.modality.empty() ? "no modality" : s.modality, s.files.size(),
                                 s.slice_size_hw[0], s.slice_size_hw[1]);
  if (!s.reason.empty()) text += ": " + s.reason;
  else if (s.modality == "CT" && !s.axial()) text += ": not axial";
  return text;
}

}  // namespace

std::vector<DicomSeries> scan_dicom_folder(const fs::path& folder) {
  const auto files = list_files(folder);
  std::vector<SliceHeader> headers(files.size());
  std::vector<FileKind> kinds(files.size(), FileKind::not_dicom);
  at::parallel_for(0, static_cast<int64_t>(files.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) kinds[i] = parse_slice_header(files[i], headers[i]);
  });
  std::map<std::string, std::vector<SliceHeader>> by_uid;
  std::vector<fs::path> broken;
  for (size_t i = 0; i < files.size(); ++i) {
    if (kinds[i] == FileKind::image) by_uid[headers[i].series_uid].push_back(std::move(headers[i]));
    if (kinds[i] == FileKind::broken) broken.push_back(files[i]);
  }
  std::vector<DicomSeries> series;
  for (auto& [uid, slices] : by_uid) series.push_back(assess_series(std::move(slices)));
  if (!broken.empty()) {
    DicomSeries unknown;
    unknown.reason = fmt::format("{} files that begin like DICOM cannot be parsed, such as {}", broken.size(),
                                 broken.front().filename().string());
    unknown.add_problem("unreadable-file", unknown.reason);
    unknown.files = std::move(broken);
    series.push_back(std::move(unknown));
  }
  return series;
}

DicomSeries choose_ct_series(const std::vector<DicomSeries>& series, const fs::path& folder) {
  const DicomSeries* best = nullptr;
  const DicomSeries* broken = nullptr;
  size_t candidates = 0;
  for (const auto& s : series) {
    if (s.uid.empty() && s.has_problem("unreadable-file") && !s.readable()) broken = &s;
    if (!s.readable() || s.modality != "CT" || !s.axial()) continue;
    ++candidates;
    const auto rank = [](const DicomSeries& x) {
      return std::tuple(-static_cast<int64_t>(x.files.size()), x.spacing_mm[2], x.uid);
    };
    if (!best || rank(s) < rank(*best)) best = &s;
  }
  if (!best) {
    std::string text = fmt::format("{}: no axial CT series that can be read as a volume.", folder.string());
    if (series.empty()) text += " The folder holds no DICOM images.";
    for (const auto& s : series) text += "\n  " + describe(s);
    throw Error(text, ExitCode::no_data);
  }
  DicomSeries chosen = *best;
  if (broken) chosen.add_problem("unreadable-file", broken->reason);
  if (candidates > 1) {
    const std::string note = fmt::format("{}: {} CT series; the one with the most slices is used: {}", folder.string(),
                                         candidates, describe(chosen));
    log_info("{}", note);
    chosen.notes.push_back(note);
  }
  return chosen;
}

}  // namespace x2ctpa
