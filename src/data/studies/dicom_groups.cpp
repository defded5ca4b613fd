#include "data/studies/dicom_groups.h"

#include <set>
#include <utility>

#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"

namespace fs = std::filesystem;

namespace x2ctpa {

bool is_xray_modality(const std::string& modality) {
  static const std::set<std::string> xrays = {"CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  return xrays.contains(modality);
}

namespace {

class DicomGrouping {
 public:
  explicit DicomGrouping(const SeriesLimits& limits) : limits_(limits) {}

  DicomGroups groups(const std::vector<fs::path>& files) {
    for (DicomSeries& series : scan_dicom_files(files, limits_)) place(std::move(series));
    return std::move(groups_);
  }

 private:
  // Copies of one series in several folders would take each other's places; each folder is then
  // a study of its own.
  bool place_copies(const DicomSeries& series) {
    std::map<fs::path, std::vector<fs::path>> by_folder;
    for (const auto& file : all_files(series)) by_folder[file.parent_path()].push_back(file);
    const size_t all = series.files.size() + series.left_out.size();
    if (by_folder.size() < 2 || 2 * all < 3 * series.files.size()) return false;
    log_info("{} lies in {} folders, such as {}; each is taken as a study of its own",
             series_name(series), by_folder.size(), by_folder.begin()->first.string());
    for (const auto& [folder, files] : by_folder)
      for (DicomSeries& copy : scan_dicom_files(files, limits_)) place_one(std::move(copy), folder);
    return true;
  }

  void place(DicomSeries series) {
    if (series.uid.empty() && series.reason_code == "unreadable-file" && series.files.empty()) {
      for (const auto& file : series.left_out) groups_.broken[file.parent_path()].push_back(file);
      return;
    }
    if (is_xray_modality(series.modality))
      groups_.xrays.push_back(std::move(series));
    else if (!place_copies(series))
      place_one(std::move(series), {});
  }

  void place_one(DicomSeries series, const fs::path& copy_in) {
    const auto files = all_files(series);
    std::string study = series.tags->study_uid;
    if (study.empty() || series.tags->patient_id.empty())
      study += "\n" + common_folder(files).string();
    groups_.studies[series.tags->patient_id + "\n" + study + "\n" + copy_in.string()].push_back(
        std::move(series));
  }

  const SeriesLimits& limits_;
  DicomGroups groups_;
};

}  // namespace

std::vector<fs::path> all_files(const DicomSeries& series) {
  std::vector<fs::path> files = series.files;
  files.insert(files.end(), series.left_out.begin(), series.left_out.end());
  return files;
}

fs::path common_folder(const std::vector<fs::path>& files) {
  fs::path folder = files.front().parent_path();
  for (const auto& file : files) {
    while (!folder.empty() && folder.has_relative_path() &&
           file.lexically_relative(folder).string().starts_with(".."))
      folder = folder.parent_path();
  }
  return folder;
}

DicomGroups group_dicom_files(const std::vector<fs::path>& files, const SeriesLimits& limits) {
  return DicomGrouping(limits).groups(files);
}

}  // namespace x2ctpa
