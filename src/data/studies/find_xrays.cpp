// The X-rays below a folder that may hold CTs and anything else beside them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/studies/dicom_groups.h"
#include "data/studies/find_dicom.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/studies/manifest.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// What a folder holds beside X-rays, told in one line.
struct PassedOver {
  int64_t sections = 0, companions = 0, damaged = 0, volumes = 0, archives = 0;
  std::vector<fs::path> others;

  std::string text(const fs::path& root) const {
    constexpr size_t most_named = 5;
    const int64_t count =
        sections + companions + damaged + volumes + archives + int64_t(others.size());
    if (count == 0) return {};
    std::vector<std::string> parts;
    const auto add = [&](int64_t number, std::string_view one, std::string_view many) {
      if (number > 0) parts.push_back(counted(number, one, many));
    };
    constexpr const char* of_ct = "of CT or another modality (DICOM)";
    add(sections, of_ct, of_ct);
    add(companions, "report or capture of a screen (DICOM)",
        "reports and captures of a screen (DICOM)");
    add(damaged, "damaged one beside these", "damaged ones beside these");
    add(volumes, "volume", "volumes");
    add(archives, "archive, which preprocess unpacks and sample does not",
        "archives, which preprocess unpacks and sample does not");
    std::vector<std::string> names;
    for (size_t i = 0; i < others.size() && i < most_named; ++i)
      names.push_back(others[i].lexically_relative(root).string());
    if (!others.empty())
      parts.push_back(fmt::format("no X-ray by name or content: {}{}", fmt::join(names, ", "),
                                  others.size() > most_named ? ", ..." : ""));
    return fmt::format("{} {} passed over, {}", count, count == 1 ? "file is" : "files are",
                       fmt::join(parts, "; "));
  }
};

class XraySearch {
 public:
  explicit XraySearch(fs::path root) : root_(std::move(root)) {}

  std::vector<fs::path> find() {
    std::vector<fs::path> dicom;
    for (const Listed& file : list_tree(root_, root_, nullptr)) {
      const PathKind kind = kind_of(file.real);
      if (kind == PathKind::picture) xrays_.push_back(file.real);
      if (kind == PathKind::volume) ++passed_over_.volumes;
      if (kind == PathKind::archive) ++passed_over_.archives;
      if (kind == PathKind::other) passed_over_.others.push_back(file.real);
      if (kind == PathKind::maybe_dicom) dicom.push_back(file.real);
    }
    sort_dicom(dicom);
    std::sort(xrays_.begin(), xrays_.end());
    std::sort(passed_over_.others.begin(), passed_over_.others.end());
    if (const std::string text = passed_over_.text(root_); !text.empty())
      log_info("{}: {}", root_.string(), text);
    return std::move(xrays_);
  }

 private:
  void sort_dicom(const std::vector<fs::path>& files) {
    std::set<fs::path> known;
    const std::vector<DicomSeries> all = scan_dicom_files(files);
    for (const DicomSeries& series : all) {
      for (const auto& file : all_files(series)) known.insert(file);
      if (is_damaged(series) || is_xray_modality(series.modality) || series.modality.empty())
        continue;
      if (series.modality == "CT") ct_studies_.insert(series.tags->study_uid);
      for (const auto& file : all_files(series)) section_folders_.insert(file.parent_path());
    }
    for (const DicomSeries& series : all) place(series);
    for (const auto& file : files)
      if (!known.contains(file)) passed_over_.others.push_back(file);
  }

  static bool is_damaged(const DicomSeries& series) {
    return series.uid.empty() && series.files.empty() && series.reason_code == "unreadable-file";
  }

  void place(const DicomSeries& series) {
    const auto files = all_files(series);
    if (is_damaged(series)) {
      // Beside sections they were some of these; elsewhere failures.csv must name them.
      for (const auto& file : files) {
        if (section_folders_.contains(file.parent_path()))
          ++passed_over_.damaged;
        else
          xrays_.push_back(file);
      }
      return;
    }
    const bool companion = is_companion(series.modality);
    const bool xray = is_xray_modality(series.modality) || series.modality.empty();
    if (xray && !(companion && ct_studies_.contains(series.tags->study_uid))) {
      xrays_.insert(xrays_.end(), files.begin(), files.end());
    } else {
      (companion ? passed_over_.companions : passed_over_.sections) += int64_t(files.size());
    }
  }

  fs::path root_;
  std::vector<fs::path> xrays_;
  std::set<std::string> ct_studies_;
  std::set<fs::path> section_folders_;
  PassedOver passed_over_;
};

}  // namespace

std::vector<fs::path> find_xrays(const fs::path& folder) { return XraySearch(folder).find(); }

}  // namespace x2ctpa
