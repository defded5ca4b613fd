#include "data/studies/image_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {

fs::path images_folder(const fs::path& manifest, const InputOptions& options) {
  const fs::path folder = manifest.parent_path() / options.manifest.images;
  if (!options.manifest.images.empty() && !fs::is_directory(folder))
    throw Error(
        fmt::format("preprocess.manifest.images: the folder {} does not exist", folder.string()),
        ExitCode::no_data);
  return folder.empty() ? fs::path(".") : folder;
}

ImageIndex::ImageIndex(fs::path root, const InputOptions& options)
    : root_(std::move(root)), options_(options) {
  std::error_code error;
  fs::recursive_directory_iterator it(root_, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const fs::path path = it->path();
    std::string name = path.filename().string();
    if (it->is_regular_file(error)) name = file_stem(path);
    by_name_.emplace(name, path);
  }
}

template <class F>
fs::path ImageIndex::named(const std::string& name, F fits) const {
  const auto [begin, end] = by_name_.equal_range(name);
  for (auto i = begin; i != end; ++i)
    if (fits(i->second)) return i->second;
  return {};
}

fs::path ImageIndex::ct_named(const std::string& name) const {
  return named(name, [](const fs::path& p) {
    return fs::is_directory(p) || kind_of(p) == PathKind::volume;
  });
}

fs::path ImageIndex::cxr_named(const std::string& name) const {
  return named(name, [](const fs::path& p) {
    return fs::is_directory(p) || kind_of(p) == PathKind::picture ||
           kind_of(p) == PathKind::maybe_dicom;
  });
}

std::vector<fs::path> ImageIndex::folders_named(const std::string& name) const {
  std::vector<fs::path> folders;
  const auto [begin, end] = by_name_.equal_range(name);
  for (auto i = begin; i != end; ++i)
    if (fs::is_directory(i->second)) folders.push_back(i->second);
  std::sort(folders.begin(), folders.end());
  return folders;
}

template <class F>
const Find* ImageIndex::by_header(F fits) {
  if (!searched_) {
    log_info(
        "{}: reading the headers of its DICOM images, as not every image of the table is there "
        "by name",
        root_.string());
    finds_ = search(root_, options_);
    searched_ = true;
  }
  const Find* best = nullptr;
  for (const Find& find : finds_)
    if (fits(find) && (!best || (best->lateral && !find.lateral))) best = &find;
  return best;
}

const Find* ImageIndex::by_accession(const std::string& accession, bool is_ct) {
  return by_header(
      [&](const Find& find) { return find.is_ct == is_ct && find.accession == accession; });
}

const Find* ImageIndex::by_study(const std::string& uid) {
  return by_header([&](const Find& find) { return find.is_ct && find.study_uid == uid; });
}

void take(const Find& find, Study& study, bool lateral) {
  (find.is_ct ? study.ct : lateral ? study.cxr_lateral : study.cxr) = find.source;
  if (find.series) study.ct_series = find.series;
  if (!find.refused.empty()) {
    study.refused_code = find.refused_code;
    study.refused = find.refused;
  }
  study.notes.insert(study.notes.end(), find.notes.begin(), find.notes.end());
  study.archives.insert(study.archives.end(), find.archives.begin(), find.archives.end());
}

}  // namespace x2ctpa
