#include "data/studies/name_studies.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "data/studies/image_index.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/files.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// Puts `instead` in the place of every secret within an id.
void hide(std::string& id, const std::vector<std::string>& secrets, const std::string& instead) {
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

// The ids and patients of the studies below one folder.
class Naming {
 public:
  Naming(fs::path root, const FindOptions& options) : root_(std::move(root)), options_(options) {}

  std::vector<Study> studies(const std::vector<Draft>& drafts) {
    for (const Draft& draft : drafts) count(draft);
    std::vector<Study> studies;
    for (const Draft& draft : drafts) studies.push_back(study_of(draft));
    return studies;
  }

 private:
  // How many studies each folder holds, in it or below, and the patients of each top folder.
  void count(const Draft& draft) {
    std::set<fs::path> folders{root_};
    for (const Find* find : {draft.ct, draft.cxr, draft.lateral}) {
      if (!find) continue;
      for (fs::path f = find->folder; f != root_ && f.has_relative_path(); f = f.parent_path())
        folders.insert(f);
      if (!find->patient.empty()) patients_[top_folder(*find)].insert(find->patient);
    }
    for (const auto& f : folders) ++studies_in_[f];
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
    for (const Find* find : {draft.ct, draft.cxr, draft.lateral})
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
    if (relative == ".") return safe_id(plain_name(root_, fs::is_directory(root_)));
    const std::string last = plain_name(relative, studies_in_.contains(path));
    return safe_id(relative.has_parent_path() ? (relative.parent_path() / last).string() : last);
  }

  Study study_of(const Draft& draft) {
    const std::string patient = patient_of(draft);
    const std::string hash = patient.empty() ? "" : hashed_patient(patient, options_);
    const auto path = name_path(draft);
    Study study;
    if (path)
      study.id = path_id(*path);
    else
      study.id =
          (hash.empty() ? "study" : hash) + "-" + sha256(draft.first().study_uid).substr(0, 4);
    for (const Find* find : {draft.ct, draft.cxr, draft.lateral})
      if (find) hide(study.id, find->secrets, hash.empty() ? "x" : hash);
    study.id = unique_id(study.id, taken_);
    const fs::path top = top_folder(draft.first());
    study.patient_id = !hash.empty() ? hash : top.empty() ? study.id : safe_id(top.string());
    if (!draft.note.empty()) study.notes.push_back(draft.note);
    for (const Find* find : {draft.ct, draft.cxr, draft.lateral})
      if (find) take(*find, study, find == draft.lateral);
    return study;
  }

  fs::path root_;
  const FindOptions& options_;
  std::map<fs::path, int64_t> studies_in_;
  std::map<fs::path, std::set<std::string>> patients_;
  std::set<std::string> taken_;
};

}  // namespace

std::string plain_name(const fs::path& source, bool is_folder) {
  return is_folder ? source.filename().string() : file_stem(source);
}

std::vector<Study> name_studies(const fs::path& root, const std::vector<Draft>& drafts,
                                const FindOptions& options) {
  return Naming(root, options).studies(drafts);
}

}  // namespace x2ctpa
