// The studies of a file, an archive or a folder.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/studies/finds.h"
#include "data/studies/name_studies.h"
#include "data/studies/pair_finds.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/imaging/xray/view_pair.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

std::vector<Study> group_finds(const fs::path& root, const std::vector<Find>& finds,
                               const InputOptions& options) {
  return name_studies(root, pair_finds(root, finds, options.find.pair_hours, options.views),
                      options.find);
}

// An archive given by itself: its manifest, or what is found in it.
std::vector<Study> studies_in_archive(const fs::path& path, const InputOptions& options) {
  const auto archive = std::make_shared<const Unpacked>(path, archive_limits(options.find));
  if (!fs::exists(archive->folder() / "manifest.csv"))
    return group_finds(path, search(archive, options), options);
  std::vector<Study> studies = read_manifest(archive->folder() / "manifest.csv", options);
  for (Study& study : studies) study.archives.push_back(archive);
  return studies;
}

}  // namespace

std::string hashed_patient(const std::string& patient, const FindOptions& options) {
  return "P" + sha256(options.salt + "\n" + patient).substr(0, 10);
}

std::string as_given(const Study& study, std::string text) {
  for (const auto& archive : study.archives) {
    const std::string inside = archive->folder().string(),
                      outside = archive->archive().string() + "!";
    for (size_t at = 0; (at = text.find(inside, at)) != std::string::npos; at += outside.size())
      text.replace(at, inside.size(), outside);
  }
  return valid_utf8(text);
}

std::vector<Study> find_studies(const fs::path& path, const InputOptions& options) {
  if (fs::exists(path / "manifest.csv")) return read_manifest(path / "manifest.csv", options);
  const fs::path whole = fs::absolute(path).lexically_normal();
  if (!fs::is_directory(path)) {
    const PathKind kind = kind_of(path);
    if (kind == PathKind::archive) return studies_in_archive(whole, options);
    const bool xray =
        kind == PathKind::picture || (kind == PathKind::maybe_dicom && is_radiograph_file(path));
    if (kind != PathKind::volume && !xray) return {};
    Study study;
    study.id = study.patient_id = safe_id(plain_name(whole, false));
    const bool lateral =
        xray && options.views == CxrViews::both && view_of_file(path) == CxrView::lateral;
    (lateral ? study.cxr_lateral : xray ? study.cxr : study.ct) = path;
    return {study};
  }
  // A trailing slash would leave the folder without a name.
  const fs::path root = whole.filename().empty() ? whole.parent_path() : whole;
  return group_finds(root, search(root, options), options);
}

}  // namespace x2ctpa
