// From what was found to studies: which CT belongs to which X-ray, and what they are called.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "data/studies/finds.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

std::string stem(const fs::path& source, bool is_folder) {
  std::string name = source.filename().string();
  if (is_folder) return name;
  if (name.ends_with(".nii.gz")) return name.substr(0, name.size() - 7);
  return source.stem().string();
}

// A study before it has a name.
struct Draft {
  const Find* ct = nullptr;
  const Find* cxr = nullptr;
  fs::path folder;  // that holds both; empty for single ones
  std::string note;

  const Find& first() const { return ct ? *ct : *cxr; }
};

// Hours between two finds; nothing when a date is unknown.
std::optional<double> hours_between(const Find& a, const Find& b) {
  if (!a.time_s || !b.time_s) return std::nullopt;
  return std::abs(*a.time_s - *b.time_s) / 3600;
}

fs::path common_parent(const fs::path& a, const fs::path& b) {
  fs::path common;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end() && *i == *j; ++i, ++j)
    common /= *i;
  return common;
}

class Grouping {
 public:
  Grouping(fs::path root, const InputOptions& options)
      : root_(std::move(root)), options_(options) {}

  std::vector<Study> studies(const std::vector<Find>& finds) {
    std::map<std::string, std::vector<const Find*>> by_patient;
    for (const Find& find : finds)
      if (!find.patient.empty()) by_patient[find.patient].push_back(&find);
    for (const auto& [patient, of_patient] : by_patient) pair_by_headers(of_patient);
    std::vector<const Find*> left;
    for (const Find& find : finds)
      if (!paired_.contains(&find)) left.push_back(&find);
    divide(root_, left);
    std::stable_sort(drafts_.begin(), drafts_.end(), [](const Draft& a, const Draft& b) {
      return a.first().shown < b.first().shown;
    });
    count_folders();
    std::vector<Study> studies;
    for (const Draft& draft : drafts_) studies.push_back(study_of(draft));
    return studies;
  }

 private:
  void pair(const Find& ct, const Find& cxr, const fs::path& folder, const std::string& note) {
    drafts_.push_back({&ct, &cxr, folder, note});
    paired_.insert(&ct);
    paired_.insert(&cxr);
  }

  // Pairs the CTs and frontal films of one patient.
  void pair_by_headers(const std::vector<const Find*>& finds) {
    std::vector<const Find*> cts, films;
    for (const Find* find : finds)
      if (find->is_ct ? find->refused.empty() : !find->lateral)
        (find->is_ct ? cts : films).push_back(find);
    std::vector<std::tuple<double, const Find*, const Find*>> near;
    for (const Find* ct : cts)
      for (const Find* film : films)
        if (const auto hours = hours_between(*ct, *film);
            hours && *hours <= options_.find.pair_hours)
          near.emplace_back(*hours, ct, film);
    std::stable_sort(near.begin(), near.end(),
                     [](const auto& a, const auto& b) { return std::get<0>(a) < std::get<0>(b); });
    for (const auto& [hours, ct, film] : near)
      if (!paired_.contains(ct) && !paired_.contains(film))
        pair(*ct, *film, common_parent(ct->folder, film->folder),
             fmt::format("paired by date: {:.1f} h apart", hours));
    const bool one_of_each = cts.size() == 1 && films.size() == 1 && !paired_.contains(cts[0]);
    if (one_of_each && !hours_between(*cts[0], *films[0]))
      pair(*cts[0], *films[0], common_parent(cts[0]->folder, films[0]->folder),
           "paired as the only CT and X-ray of the patient; their dates are unknown");
    else if (one_of_each)
      log_info("{} and {} are of one patient, but more than {} h apart; not paired",
               cts[0]->shown.string(), films[0]->shown.string(), options_.find.pair_hours);
  }

  bool may_pair(const Find& a, const Find& b) const {
    if (!a.patient.empty() && !b.patient.empty() && a.patient != b.patient) return false;
    if (a.lateral || b.lateral || !a.refused.empty() || !b.refused.empty()) return false;
    const auto hours = hours_between(a, b);
    return !hours || *hours <= options_.find.pair_hours;
  }

  // Divides folders until one CT and one X-ray are left, or one of them.
  void divide(const fs::path& folder, const std::vector<const Find*>& finds) {
    if (finds.size() == 2 && finds[0]->is_ct != finds[1]->is_ct && may_pair(*finds[0], *finds[1])) {
      const bool first_is_ct = finds[0]->is_ct;
      pair(*finds[first_is_ct ? 0 : 1], *finds[first_is_ct ? 1 : 0], folder, "paired by folder");
      return;
    }
    std::map<fs::path, std::vector<const Find*>> below;
    for (const Find* find : finds) {
      const fs::path relative = find->folder.lexically_relative(folder);
      if (relative == ".")
        drafts_.push_back({find->is_ct ? find : nullptr, find->is_ct ? nullptr : find, {}, {}});
      else
        below[folder / *relative.begin()].push_back(find);
    }
    for (const auto& [sub, sub_finds] : below) divide(sub, sub_finds);
  }

  // How many studies each folder holds, in it or below, and the patients of each top folder.
  void count_folders() {
    for (const Draft& draft : drafts_) {
      std::set<fs::path> folders;
      for (const Find* find : {draft.ct, draft.cxr}) {
        if (!find) continue;
        for (fs::path f = find->folder; f != root_ && f.has_relative_path(); f = f.parent_path())
          folders.insert(f);
        if (!find->patient.empty()) patients_[top_folder(*find)].insert(find->patient);
      }
      folders.insert(root_);
      for (const auto& f : folders) ++studies_in_[f];
    }
  }

  fs::path top_folder(const Find& find) const {
    const fs::path relative = find.shown.lexically_relative(root_);
    if (relative == ".") return {};
    return std::distance(relative.begin(), relative.end()) < 2 && !find.series ? fs::path()
                                                                               : *relative.begin();
  }

  // The path that a study is called by: the folder that holds it alone, else its own file.
  std::optional<fs::path> name_path(const Draft& draft) const {
    if (!draft.folder.empty() && studies_in_.at(draft.folder) == 1) return draft.folder;
    const Find& first = draft.first();
    if (first.shown != first.folder) return first.shown;
    if (studies_in_.at(first.folder) == 1) return first.folder;
    return draft.ct && draft.cxr ? std::optional(draft.cxr->shown) : std::nullopt;
  }

  std::string patient_of(const Draft& draft) const {
    for (const Find* find : {draft.ct, draft.cxr})
      if (find && !find->patient.empty()) return find->patient;
    // Files without headers in the folder of one patient are that patient's.
    const fs::path top = top_folder(draft.first());
    const auto known = patients_.find(top);
    return !top.empty() && known != patients_.end() && known->second.size() == 1
               ? *known->second.begin()
               : "";
  }

  std::string path_id(const fs::path& path) const {
    const fs::path relative = path.lexically_relative(root_);
    if (relative == ".") return safe_id(stem(root_, fs::is_directory(root_)));
    const std::string last = stem(relative, studies_in_.contains(path));
    return safe_id(relative.has_parent_path() ? (relative.parent_path() / last).string() : last);
  }

  static void hide(std::string& id, const std::vector<std::string>& secrets,
                   const std::string& instead) {
    const auto lower = [](std::string text) {
      std::transform(text.begin(), text.end(), text.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      return text;
    };
    for (const auto& secret : secrets) {
      const std::string plain = lower(safe_id(secret));
      for (size_t at; (at = lower(id).find(plain)) != std::string::npos;) {
        if (lower(instead).find(plain) != std::string::npos) break;
        id.replace(at, plain.size(), instead);
      }
    }
  }

  Study study_of(const Draft& draft) {
    const std::string patient = patient_of(draft);
    const std::string hash = patient.empty() ? "" : hashed_patient(patient, options_.find);
    const auto path = name_path(draft);
    Study study;
    if (path)
      study.id = path_id(*path);
    else
      study.id =
          (hash.empty() ? "study" : hash) + "-" + sha256(draft.first().study_uid).substr(0, 4);
    for (const Find* find : {draft.ct, draft.cxr})
      if (find) hide(study.id, find->secrets, hash.empty() ? "x" : hash);
    study.id = unique_id(study.id, taken_);
    const fs::path top = top_folder(draft.first());
    study.patient_id = !hash.empty() ? hash : top.empty() ? study.id : safe_id(top.string());
    if (!draft.note.empty()) study.notes.push_back(draft.note);
    for (const Find* find : {draft.ct, draft.cxr}) {
      if (!find) continue;
      (find->is_ct ? study.ct : study.cxr) = find->source;
      study.notes.insert(study.notes.end(), find->notes.begin(), find->notes.end());
      if (find->series) study.ct_series = find->series;
      if (!find->refused.empty())
        study.refused_code = find->refused_code, study.refused = find->refused;
      study.archives.insert(study.archives.end(), find->archives.begin(), find->archives.end());
    }
    return study;
  }

  fs::path root_;
  const InputOptions& options_;
  std::set<const Find*> paired_;
  std::vector<Draft> drafts_;
  std::map<fs::path, int64_t> studies_in_;
  std::map<fs::path, std::set<std::string>> patients_;
  std::set<std::string> taken_;
};

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
  return text;
}

std::vector<Study> group_finds(const fs::path& root, std::vector<Find> finds,
                               const InputOptions& options) {
  return Grouping(root, options).studies(finds);
}

std::vector<Study> find_studies(const fs::path& path, const InputOptions& options) {
  if (fs::exists(path / "manifest.csv")) return read_manifest(path / "manifest.csv", options);
  const fs::path whole = fs::absolute(path).lexically_normal();
  if (!fs::is_directory(path)) {
    const PathKind kind = kind_of(path);
    if (kind == PathKind::archive) return studies_in_archive(whole, options);
    const bool film =
        kind == PathKind::picture || (kind == PathKind::maybe_dicom && is_radiograph_file(path));
    if (kind != PathKind::volume && !film) return {};
    Study study;
    study.id = study.patient_id = safe_id(stem(whole, false));
    (film ? study.cxr : study.ct) = path;
    return {study};
  }
  // A trailing slash would leave the folder without a name.
  const fs::path root = whole.filename().empty() ? whole.parent_path() : whole;
  return group_finds(root, search(root, options), options);
}

}  // namespace x2ctpa
