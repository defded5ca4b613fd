#include "data/studies/find_dicom.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "data/studies/dicom_groups.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {

bool is_companion(const std::string& modality) {
  static const std::set<std::string> companions = {
      "SR", "PR", "KO", "SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "REG", "DOC", "AU", "OT", "SC"};
  return companions.contains(modality);
}

namespace {

std::vector<std::string> secrets_of(const SeriesTags& tags) {
  std::vector<std::string> secrets{tags.patient_id, tags.accession};
  std::string part;
  for (const char c : tags.patient_name + "^") {
    const bool separator = c == '^' || c == '=' || c == ' ' || c == ',';
    if (!separator) part += c;
    if (separator) secrets.push_back(std::exchange(part, {}));
  }
  // Short words would take ids apart.
  std::erase_if(secrets, [](const std::string& s) { return s.size() < 4; });
  return secrets;
}

fs::path shown_folder(const fs::path& real_folder, const Listed& of) {
  if (!of.archive) return real_folder;
  const fs::path inner = real_folder.lexically_relative(of.archive->folder());
  return inner == "." ? of.archive->archive() : of.archive->archive() / inner;
}

void note_choice(const SeriesChoice& choice, const DicomSeries& chosen, Find& find) {
  find.notes.push_back(fmt::format("chosen: {}, {}", series_name(chosen), choice.reason));
  for (const auto& line : choice.passed_over) find.notes.push_back("passed over: " + line);
  log_info("{}: {}", find.shown.string(), fmt::join(find.notes, "\n  "));
}

void set_tags(const SeriesTags& tags, Find& find) {
  find.patient = tags.patient_id;
  find.study_uid = tags.study_uid;
  find.accession = tags.accession;
  find.secrets = secrets_of(tags);
  find.time_s = tags.time_s;
}

class DicomFinds {
 public:
  DicomFinds(const std::vector<Listed>& files, const SeriesRule& rule) : rule_(rule) {
    for (const auto& file : files) listed_[file.real] = &file;
  }

  std::vector<Find> find() {
    std::vector<fs::path> files;
    for (const auto& [path, listed] : listed_) files.push_back(path);
    DicomGroups groups = group_dicom_files(files, rule_.limits);
    for (auto& [key, group] : groups.studies) add_study(group);
    for (const auto& series : groups.xrays) add_xrays(series);
    for (const auto& [folder, damaged] : groups.broken) add_broken(folder, damaged);
    return std::move(found_);
  }

 private:
  void add_study(std::vector<DicomSeries>& group) {
    const bool only_companions = std::all_of(
        group.begin(), group.end(), [](const DicomSeries& s) { return is_companion(s.modality); });
    std::vector<fs::path> files;
    for (const auto& series : group) {
      const auto more = all_files(series);
      files.insert(files.end(), more.begin(), more.end());
      if (series.modality == "CT") ct_studies_.insert(series.tags->study_uid);
    }
    if (only_companions) {
      log_debug("{}: passed over, {} holds no images to use", common_folder(files).string(),
                series_name(group.front()));
      return;
    }
    const SeriesChoice choice = choose_series(group, rule_);
    const DicomSeries& first = choice.index ? group[*choice.index] : group.front();
    Find find;
    find.is_ct = true;
    find.source = common_folder(choice.index ? all_files(first) : files);
    keep_archives(files, find);
    const Listed& listed = *listed_.at(files.front());
    find.shown = find.folder = find.archives.size() > 1 ? listed.archive->archive().parent_path()
                                                        : shown_folder(find.source, listed);
    set_tags(*first.tags, find);
    if (choice.index) {
      find.series = std::make_shared<const DicomSeries>(first);
      if (group.size() > 1) note_choice(choice, first, find);
    } else {
      find.refused_code = choice.reason_code;
      find.refused = fmt::format("{}: {}", find.shown.string(), choice.reason);
      for (const auto& line : choice.passed_over) find.refused += "\n  " + line;
    }
    found_.push_back(std::move(find));
  }

  void keep_archives(const std::vector<fs::path>& files, Find& find) const {
    for (const auto& file : files) {
      const auto& archive = listed_.at(file)->archive;
      if (archive &&
          std::find(find.archives.begin(), find.archives.end(), archive) == find.archives.end())
        find.archives.push_back(archive);
    }
  }

  void add_xrays(const DicomSeries& series) {
    // Beside a CT, pictures of a screen are dose reports and reconstructions, not X-rays.
    if (is_companion(series.modality) && ct_studies_.contains(series.tags->study_uid)) return;
    for (const auto& file : all_files(series)) {
      const Listed& listed = *listed_.at(file);
      Find find;
      find.source = file;
      find.shown = listed.shown;
      find.folder = listed.shown.parent_path();
      keep_archives({file}, find);
      try {
        const SeriesTags tags = read_dicom_tags(file);
        set_tags(tags, find);
        find.lateral = view_of_position(tags.view_position) == CxrView::lateral;
      } catch (const Error& e) {
        log_debug("{}", e.what());
      }
      found_.push_back(std::move(find));
    }
  }

  // Damaged files beside images were slices of these; alone they are a study that is refused.
  void add_broken(const fs::path& folder, const std::vector<fs::path>& files) {
    const Listed& listed = *listed_.at(files.front());
    const fs::path shown = shown_folder(folder, listed);
    const std::string what =
        fmt::format("{} with the name or beginning of DICOM cannot be parsed, the first being {}",
                    counted(int64_t(files.size()), "file"), files.front().filename().string());
    const auto beside = std::find_if(found_.begin(), found_.end(),
                                     [&](const Find& find) { return find.folder == shown; });
    if (beside != found_.end()) {
      beside->notes.push_back("unreadable-file: " + what);
      log_warning("{}: {}", shown.string(), what);
      return;
    }
    Find find;
    find.is_ct = true;
    find.source = folder;
    find.shown = find.folder = shown;
    keep_archives({files.front()}, find);
    find.refused_code = "unreadable-file";
    find.refused = fmt::format("{}: {}", shown.string(), what);
    found_.push_back(std::move(find));
  }

  const SeriesRule& rule_;
  std::map<fs::path, const Listed*> listed_;
  std::set<std::string> ct_studies_;
  std::vector<Find> found_;
};

}  // namespace

std::vector<Find> find_dicom(const std::vector<Listed>& files, const InputOptions& options) {
  return DicomFinds(files, options.series).find();
}

}  // namespace x2ctpa
