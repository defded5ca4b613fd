// What lies below a folder: volumes, pictures, archives, and DICOM files grouped by their headers.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

#include "data/studies/finds.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// A file and how the user knows it.
struct Listed {
  fs::path real, shown;
  std::shared_ptr<const Unpacked> archive;
};

// Every regular file below `real`, sorted so that nothing depends on the disk's order. Hidden
// files are passed over and links to folders not followed.
std::vector<Listed> list_tree(const fs::path& real, const fs::path& shown,
                              const std::shared_ptr<const Unpacked>& archive) {
  std::vector<Listed> files;
  std::error_code error;
  fs::recursive_directory_iterator it(real, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const bool hidden = it->path().filename().string().starts_with(".");
    std::error_code ignored;
    if (it->is_directory(ignored) && hidden) it.disable_recursion_pending();
    if (hidden || !it->is_regular_file(ignored)) continue;
    files.push_back({it->path(), shown / it->path().lexically_relative(real), archive});
  }
  if (error) log_warning("{}: not searched to its end: {}", shown.string(), error.message());
  std::sort(files.begin(), files.end(),
            [](const Listed& a, const Listed& b) { return a.shown < b.shown; });
  return files;
}

bool is_film_modality(const std::string& modality) {
  static const std::set<std::string> films = {"CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  return films.contains(modality);
}

// Objects that come with a study and are no images to use.
bool is_companion(const std::string& modality) {
  static const std::set<std::string> companions = {
      "SR", "PR", "KO", "SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "REG", "DOC", "AU", "OT", "SC"};
  return companions.contains(modality);
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

class DicomFinds {
 public:
  DicomFinds(const std::vector<Listed>& files, const InputOptions& options) : options_(options) {
    for (const auto& file : files) listed_[file.real] = &file;
  }

  std::vector<Find> find() {
    std::vector<fs::path> files;
    for (const auto& [path, listed] : listed_) files.push_back(path);
    for (DicomSeries& series : scan_dicom_files(files, options_.series.limits))
      place(std::move(series));
    for (auto& [key, group] : groups_) add_study(group);
    for (const auto& series : films_) add_films(series);
    add_broken();
    return std::move(found_);
  }

 private:
  static std::vector<fs::path> all_files(const DicomSeries& series) {
    std::vector<fs::path> files = series.files;
    files.insert(files.end(), series.left_out.begin(), series.left_out.end());
    return files;
  }

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
      for (DicomSeries& copy : scan_dicom_files(files, options_.series.limits))
        place_one(std::move(copy), folder);
    return true;
  }

  void place(DicomSeries series) {
    if (series.uid.empty() && series.reason_code == "unreadable-file" && series.files.empty()) {
      for (const auto& file : series.left_out) broken_[file.parent_path()].push_back(file);
      return;
    }
    if (is_film_modality(series.modality))
      films_.push_back(std::move(series));
    else if (!place_copies(series))
      place_one(std::move(series), {});
  }

  void place_one(DicomSeries series, const fs::path& copy_in) {
    const auto files = all_files(series);
    std::string study = series.tags->study_uid;
    if (study.empty() || series.tags->patient_id.empty())
      study += "\n" + common_folder(files).string();
    groups_[series.tags->patient_id + "\n" + study + "\n" + copy_in.string()].push_back(
        std::move(series));
  }

  fs::path shown_folder(const fs::path& real_folder, const Listed& of) const {
    if (!of.archive) return real_folder;
    const fs::path inner = real_folder.lexically_relative(of.archive->folder());
    return inner == "." ? of.archive->archive() : of.archive->archive() / inner;
  }

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
    const SeriesChoice choice = choose_series(group, options_.series);
    const DicomSeries& first = choice.index ? group[*choice.index] : group.front();
    Find find;
    find.is_ct = true;
    find.source = common_folder(choice.index ? all_files(first) : files);
    keep_archives(files, find);
    const Listed& listed = *listed_.at(files.front());
    find.shown = find.folder = find.archives.size() > 1 ? listed.archive->archive().parent_path()
                                                        : shown_folder(find.source, listed);
    describe(*first.tags, find);
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

  static void note_choice(const SeriesChoice& choice, const DicomSeries& chosen, Find& find) {
    find.notes.push_back(fmt::format("chosen: {}, {}", series_name(chosen), choice.reason));
    for (const auto& line : choice.passed_over) find.notes.push_back("passed over: " + line);
    log_info("{}: {}", find.shown.string(), fmt::join(find.notes, "\n  "));
  }

  static void describe(const SeriesTags& tags, Find& find) {
    find.patient = tags.patient_id;
    find.study_uid = tags.study_uid;
    find.accession = tags.accession;
    find.secrets = secrets_of(tags);
    find.time_s = tags.time_s;
  }

  void add_films(const DicomSeries& series) {
    // Beside a CT, pictures of a screen are dose reports and reconstructions, not films.
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
        describe(tags, find);
        static const std::set<std::string> lateral{"LL", "RL", "LAT", "LATERAL", "LLD", "RLD"};
        find.lateral = lateral.contains(tags.view_position);
      } catch (const Error& e) {
        log_debug("{}", e.what());
      }
      found_.push_back(std::move(find));
    }
  }

  // Damaged files beside images were slices of these; alone they are a study that is refused.
  void add_broken() {
    for (const auto& [folder, files] : broken_) {
      const Listed& listed = *listed_.at(files.front());
      const fs::path shown = shown_folder(folder, listed);
      const std::string what =
          fmt::format("{} files that are DICOM by name or beginning cannot be parsed, such as {}",
                      files.size(), files.front().filename().string());
      const auto beside = std::find_if(found_.begin(), found_.end(),
                                       [&](const Find& find) { return find.folder == shown; });
      if (beside != found_.end()) {
        beside->notes.push_back("unreadable-file: " + what);
        log_warning("{}: {}", shown.string(), what);
        continue;
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
  }

  const InputOptions& options_;
  std::map<fs::path, const Listed*> listed_;
  std::map<std::string, std::vector<DicomSeries>> groups_;
  std::vector<DicomSeries> films_;
  std::map<fs::path, std::vector<fs::path>> broken_;
  std::set<std::string> ct_studies_;
  std::vector<Find> found_;
};

Find refused_archive(const Listed& file, const std::string& why) {
  Find find;
  find.is_ct = true;
  find.source = find.shown = file.shown;
  find.folder = file.shown.parent_path();
  find.refused_code = "archive-refused";
  find.refused = why;
  return find;
}

std::vector<Find> search_files(std::vector<Listed> files, const InputOptions& options) {
  std::vector<Find> found;
  std::vector<Listed> dicom;
  for (size_t i = 0; i < files.size(); ++i) {  // grows while archives are unpacked
    const Listed file = files[i];
    const PathKind kind = kind_of(file.real);
    if (kind == PathKind::volume || kind == PathKind::picture) {
      Find find;
      find.source = file.real;
      find.shown = file.shown;
      find.folder = file.shown.parent_path();
      find.is_ct = kind == PathKind::volume;
      if (file.archive) find.archives.push_back(file.archive);
      found.push_back(std::move(find));
    }
    if (kind == PathKind::maybe_dicom) dicom.push_back(file);
    if (kind != PathKind::archive) continue;
    if (file.archive) {
      log_warning("{}: passed over, an archive within an archive", file.shown.string());
      continue;
    }
    try {
      const auto archive =
          std::make_shared<const Unpacked>(file.real, archive_limits(options.find));
      for (auto& inner : list_tree(archive->folder(), file.shown, archive))
        files.push_back(std::move(inner));
    } catch (const Error& e) {
      if (e.code() == ExitCode::interrupted) throw;
      found.push_back(refused_archive(file, e.what()));
    }
  }
  for (Find& find : DicomFinds(dicom, options).find()) found.push_back(std::move(find));
  std::stable_sort(found.begin(), found.end(),
                   [](const Find& a, const Find& b) { return a.shown < b.shown; });
  return found;
}

}  // namespace

PathKind kind_of(const fs::path& file) {
  std::string name = file.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const auto ends = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](const char* e) { return name.ends_with(e); });
  };
  if (name.starts_with(".")) return PathKind::other;
  if (ends({".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"})) return PathKind::volume;
  if (ends({".png", ".jpg", ".jpeg", ".tif", ".tiff"})) return PathKind::picture;
  if (is_archive_file(file)) return PathKind::archive;
  if (ends({".csv", ".json", ".txt", ".yaml", ".yml", ".md", ".log", ".xml", ".html", ".pdf", ".gz",
            ".raw", ".safetensors", "dicomdir"}))
    return PathKind::other;
  return PathKind::maybe_dicom;
}

ArchiveLimits archive_limits(const FindOptions& options) {
  ArchiveLimits limits;
  limits.bytes = options.archive_gb * 1'000'000'000;
  limits.files = options.archive_files;
  return limits;
}

std::vector<Find> search(const fs::path& root, const InputOptions& options) {
  return search_files(list_tree(root, root, nullptr), options);
}

std::vector<Find> search(const std::shared_ptr<const Unpacked>& archive,
                         const InputOptions& options) {
  return search_files(list_tree(archive->folder(), archive->archive(), archive), options);
}

fs::path choose_film(const fs::path& folder) {
  fs::path best;
  int best_rank = 4;
  for (const auto& file : list_tree(folder, folder, nullptr)) {
    const PathKind kind = kind_of(file.real);
    int rank = kind == PathKind::picture ? 2 : 4;
    if (kind == PathKind::maybe_dicom) {
      try {
        const std::string view = read_dicom_tags(file.real).view_position;
        rank = view == "PA" ? 0 : view == "AP" ? 1 : view.empty() ? 2 : 3;
      } catch (const Error&) {
        continue;
      }
    }
    if (rank < best_rank) {
      best_rank = rank;
      best = file.real;
    }
  }
  return best;
}

}  // namespace x2ctpa
