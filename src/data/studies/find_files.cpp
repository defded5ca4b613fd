// What lies below a folder: volumes, pictures, archives and DICOM files.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/studies/find_dicom.h"
#include "data/studies/finds.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/xray/view_pair.h"

namespace fs = std::filesystem;

namespace x2ctpa {

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

namespace {

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
      // A model of one view has always taken pictures as frontal, whatever they are called.
      find.lateral = options.views == CxrViews::both && !find.is_ct &&
                     view_in_name(file.shown) == CxrView::lateral;
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
  for (Find& find : find_dicom(dicom, options)) found.push_back(std::move(find));
  std::stable_sort(found.begin(), found.end(),
                   [](const Find& a, const Find& b) { return a.shown < b.shown; });
  return found;
}

}  // namespace

PathKind kind_of(const fs::path& file) {
  static const std::set<std::string> others = {".csv", ".json", ".txt",        ".yaml", ".yml",
                                               ".md",  ".log",  ".xml",        ".html", ".pdf",
                                               ".gz",  ".raw",  ".safetensors"};
  const std::string name = file.filename().string();
  if (name.starts_with(".")) return PathKind::other;
  if (is_volume_file(file)) return PathKind::volume;
  if (is_picture_file(file)) return PathKind::picture;
  if (is_archive_file(file)) return PathKind::archive;
  if (others.contains(file_ending(file)) || name == "DICOMDIR" || name == "dicomdir")
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

fs::path choose_xray(const fs::path& folder) {
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
