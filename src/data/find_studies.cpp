// Studies in folders: what is there, and which CT belongs to which X-ray.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/manifest.h"
#include "x2ctpa/imaging/dicom_series.h"
#include "x2ctpa/imaging/radiograph.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

/// One CT or one X-ray.
struct Find {
  fs::path source;  ///< what to read
  fs::path folder;  ///< where it lies
  bool is_ct = false;
};

enum class FileKind { volume, picture, maybe_dicom, other };

FileKind kind_of(const fs::path& file) {
  std::string name = file.filename().string();
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  auto ends = [&](std::initializer_list<const char*> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](const char* e) { return name.ends_with(e); });
  };
  if (name.starts_with(".")) return FileKind::other;
  if (ends({".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"})) return FileKind::volume;
  if (ends({".png", ".jpg", ".jpeg", ".tif", ".tiff"})) return FileKind::picture;
  if (ends({".csv", ".json", ".txt", ".yaml", ".yml", ".md", ".log", ".xml", ".html", ".pdf", ".gz",
            ".zip", ".raw", ".safetensors", "dicomdir"})) {
    return FileKind::other;
  }
  return FileKind::maybe_dicom;
}

bool is_film(const DicomSeries& series) {
  static const std::set<std::string> films = {"CR", "DX", "RF", "RG", "XA", "OT", "SC"};
  return films.contains(series.modality);
}

bool is_readable_film(const fs::path& file) {
  try {
    read_radiograph(file);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// What the DICOM files directly in `folder` are.
void classify_dicom(const fs::path& folder, const std::vector<fs::path>& files,
                    std::vector<Find>& found) {
  std::set<fs::path> of_sections;
  bool sections = false, films = false;
  for (const DicomSeries& series : scan_dicom_folder(folder)) {
    const bool elsewhere = !series.files.empty() && series.files.front().parent_path() != folder;
    if (elsewhere) continue;
    (is_film(series) ? films : sections) = true;
    if (!is_film(series)) of_sections.insert(series.files.begin(), series.files.end());
  }
  if (sections) found.push_back({folder, folder, true});
  if (!films) return;
  for (const fs::path& file : files) {
    if (of_sections.contains(file)) continue;
    // Beside a CT, what is left over may also be a slice that its series dropped.
    if (sections ? is_readable_film(file) : is_radiograph_file(file))
      found.push_back({file, folder, false});
  }
}

void search(const fs::path& folder, std::vector<Find>& found) {
  std::vector<fs::path> files, folders, dicom;
  try {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with(".")) continue;
      if (entry.is_directory()) folders.push_back(entry.path());
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& e) {
    log_warning("passed over {}: {}", folder.string(), e.code().message());
    return;
  }
  std::sort(files.begin(), files.end());
  std::sort(folders.begin(), folders.end());
  for (const fs::path& file : files) {
    const FileKind kind = kind_of(file);
    if (kind == FileKind::volume) found.push_back({file, folder, true});
    if (kind == FileKind::picture) found.push_back({file, folder, false});
    if (kind == FileKind::maybe_dicom) dicom.push_back(file);
  }
  if (!dicom.empty()) classify_dicom(folder, dicom, found);
  for (const fs::path& below : folders) search(below, found);
}

std::string stem(const fs::path& source, bool is_folder) {
  std::string name = source.filename().string();
  if (is_folder) return name;
  if (name.ends_with(".nii.gz")) return name.substr(0, name.size() - 7);
  return source.stem().string();
}

/// Makes studies out of what was found below one root.
class Grouping {
 public:
  explicit Grouping(fs::path root) : root_(std::move(root)) {}

  void divide(const fs::path& folder, const std::vector<Find>& finds) {
    const auto is_ct = [](const Find& find) { return find.is_ct; };
    if (finds.size() == 2 && std::count_if(finds.begin(), finds.end(), is_ct) == 1) {
      const bool first_is_ct = finds[0].is_ct;
      add(folder, finds[first_is_ct ? 0 : 1].source, finds[first_is_ct ? 1 : 0].source);
      return;
    }
    std::map<fs::path, std::vector<Find>> below;
    for (const Find& find : finds) {
      const fs::path relative = find.folder.lexically_relative(folder);
      if (relative == ".") {
        add(find.source, find.is_ct ? find.source : fs::path(),
            find.is_ct ? fs::path() : find.source);
      } else {
        below[folder / *relative.begin()].push_back(find);
      }
    }
    for (const auto& [sub, sub_finds] : below) divide(sub, sub_finds);
  }

  std::vector<Study> take() { return std::move(studies_); }

 private:
  void add(const fs::path& named_after, const fs::path& ct, const fs::path& cxr) {
    const fs::path relative = named_after.lexically_relative(root_);
    const bool is_root = relative == ".";
    const std::string last = stem(is_root ? root_ : relative, fs::is_directory(named_after));
    const fs::path parents = is_root ? fs::path() : relative.parent_path();
    Study study;
    study.id = safe_id(parents.empty() ? last : (parents / last).string());
    for (int n = 2; !taken_.insert(study.id).second; ++n) {
      study.id = fmt::format("{}-{}", safe_id((parents / last).string()), n);
    }
    study.patient_id = parents.empty() ? study.id : safe_id(parents.begin()->string());
    study.ct = ct;
    study.cxr = cxr;
    studies_.push_back(std::move(study));
  }

  fs::path root_;
  std::set<std::string> taken_;
  std::vector<Study> studies_;
};

}  // namespace

std::vector<Study> find_studies(const fs::path& path) {
  if (fs::exists(path / "manifest.csv")) return read_manifest(path / "manifest.csv");
  const fs::path whole = fs::absolute(path).lexically_normal();
  if (!fs::is_directory(path)) {
    const FileKind kind = kind_of(path);
    const bool film =
        kind == FileKind::picture || (kind == FileKind::maybe_dicom && is_radiograph_file(path));
    if (kind != FileKind::volume && !film) return {};
    Study study;
    study.id = study.patient_id = safe_id(stem(whole, false));
    (film ? study.cxr : study.ct) = path;
    return {study};
  }
  // A trailing slash would leave the folder without a name.
  const fs::path root = whole.filename().empty() ? whole.parent_path() : whole;
  std::vector<Find> found;
  search(root, found);
  Grouping grouping(root);
  grouping.divide(root, found);
  return grouping.take();
}

}  // namespace x2ctpa
