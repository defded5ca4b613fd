// Public sets whose tables name folders: TCIA's collections, and MIDS as the image bank of the
// Valencian region (BIMCV) hands it out.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/studies/dicom_groups.h"
#include "data/studies/find_dicom.h"
#include "data/studies/image_index.h"
#include "data/studies/manifest_rows.h"
#include "data/studies/pair_finds.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

// The series of TCIA's table that are CTs or X-rays.
struct TciaSeries {
  std::map<fs::path, std::string> subject_of;  // by folder
  std::vector<Listed> files;
  std::vector<Study> absent;  // CTs that are not there
  std::vector<std::string> absent_xrays;
  std::map<std::string, int64_t> others;  // rows of other modalities
};

TciaSeries tcia_series(const CsvTable& table, const fs::path& file, const fs::path& root) {
  TciaSeries series;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    const std::string subject = row.get("Subject ID"), modality = row.get("Modality");
    if (subject.empty()) row.fail("Subject ID", "given");
    const bool ct = modality == "CT";
    if (!ct && modality != "CR" && modality != "DX") {
      ++series.others[modality];
      continue;
    }
    std::string place = row.get("File Location");
    if (place.empty()) row.fail("File Location", "given");
    std::replace(place.begin(), place.end(), '\\', '/');
    const fs::path folder = fs::absolute(root / place).lexically_normal();
    if (!fs::exists(folder)) {
      if (ct)
        series.absent.push_back({.patient_id = subject, .ct = folder});
      else
        series.absent_xrays.push_back(folder.string());
      continue;
    }
    if (!series.subject_of.emplace(folder, subject).second) continue;
    const auto listed = list_tree(folder, folder, nullptr);
    series.files.insert(series.files.end(), listed.begin(), listed.end());
  }
  return series;
}

// The value of the deepest folder of `by_folder` that holds `path`; empty: none does.
std::string held_by(const std::map<fs::path, std::string>& by_folder, fs::path path) {
  for (; path.has_relative_path(); path = path.parent_path())
    if (const auto found = by_folder.find(path); found != by_folder.end()) return found->second;
  return {};
}

// A CT of several folders lies above those that the table names.
std::string subject_below(const std::map<fs::path, std::string>& by_folder, const Find& find) {
  const std::string above = held_by(by_folder, find.source);
  if (!above.empty() || !find.series || find.series->files.empty()) return above;
  return held_by(by_folder, find.series->files.front());
}

// 20200131 as seconds since 1970; nothing for what is no date.
std::optional<double> seconds_of_day(const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end - text.data() != 8) return {};
  const std::chrono::year_month_day day(std::chrono::year(number / 10000),
                                        std::chrono::month(unsigned(number / 100 % 100)),
                                        std::chrono::day(unsigned(number % 100)));
  if (!day.ok()) return {};
  return double(std::chrono::sys_days(day).time_since_epoch().count()) * 86400;
}

void add_dates(const fs::path& file, std::map<std::string, double>& dates) {
  const CsvTable table = CsvTable::read(file);
  table.require_columns({"session_id", "study_date"});
  for (size_t i = 0; i < table.size(); ++i)
    if (const auto seconds = seconds_of_day(table.at(i, "study_date")))
      dates[table.at(i, "session_id")] = *seconds;
}

// The dates of a subject's sessions, from its sessions.tsv. These hold reports as free text.
std::map<std::string, double> session_dates(const fs::path& subject) {
  std::map<std::string, double> dates;
  for (const auto& entry : fs::directory_iterator(subject)) {
    if (!entry.path().filename().string().ends_with("sessions.tsv")) continue;
    try {
      add_dates(entry.path(), dates);
    } catch (const Error& e) {
      log_warning("{}; its sessions are taken as of unknown date", e.what());
    }
  }
  return dates;
}

// PA before AP before an unknown view; 3 for lateral ones, and 4 for what is no X-ray.
int mids_view(const std::string& stem) {
  if (!stem.ends_with("_cr") && !stem.ends_with("_dx")) return 4;
  if (stem.find("_vp-ll") != std::string::npos || stem.find("_vp-lat") != std::string::npos)
    return 3;
  if (stem.find("_vp-pa") != std::string::npos) return 0;
  return stem.find("_vp-ap") != std::string::npos ? 1 : 2;
}

// What a session holds, by what its file names say.
struct MidsSession {
  std::vector<fs::path> cts, xrays;
};

MidsSession mids_session(const fs::path& session) {
  MidsSession found;
  for (const Listed& listed : list_tree(session, session, nullptr)) {
    const std::string stem = file_stem(listed.real);
    if (is_volume_file(listed.real) && stem.ends_with("_ct")) found.cts.push_back(listed.real);
    if (is_picture_file(listed.real) && mids_view(stem) < 3) found.xrays.push_back(listed.real);
  }
  // Scouts and reformats are smaller than the scan.
  std::stable_sort(found.cts.begin(), found.cts.end(), [](const auto& a, const auto& b) {
    return fs::file_size(a) > fs::file_size(b);
  });
  std::stable_sort(found.xrays.begin(), found.xrays.end(), [](const auto& a, const auto& b) {
    return mids_view(file_stem(a)) < mids_view(file_stem(b));
  });
  return found;
}

void add_finds(const std::vector<fs::path>& files, bool is_ct, Find find, std::vector<Find>& all) {
  if (files.empty()) return;
  find.is_ct = is_ct;
  find.source = find.shown = files.front();
  for (size_t i = 1; i < files.size(); ++i)
    find.notes.push_back("passed over: " + files[i].filename().string());
  all.push_back(std::move(find));
}

// The largest CT and the best X-ray of each session of a subject.
void add_subject(const fs::path& folder, std::vector<Find>& all) {
  const auto dates = session_dates(folder);
  std::vector<fs::path> sessions;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory() && entry.path().filename().string().starts_with("ses-"))
      sessions.push_back(entry.path());
  std::sort(sessions.begin(), sessions.end());
  for (const auto& session : sessions) {
    Find find;
    find.patient = folder.filename().string();
    find.study_uid = session.filename().string();
    find.folder = session;
    if (const auto date = dates.find(find.study_uid); date != dates.end())
      find.time_s = date->second;
    const MidsSession found = mids_session(session);
    add_finds(found.cts, true, find, all);
    add_finds(found.xrays, false, find, all);
  }
}

std::vector<Study> studies_of(const std::vector<Draft>& drafts, bool by_session) {
  std::vector<Study> studies;
  std::set<std::string> taken;
  for (const Draft& draft : drafts) {
    const Find& first = draft.first();
    Study study;
    study.id = by_session ? first.patient + "_" + first.study_uid : first.patient;
    study.id = unique_id(safe_id(study.id), taken);
    study.patient_id = first.patient;
    if (!draft.note.empty()) study.notes.push_back(draft.note);
    for (const Find* find : {draft.ct, draft.cxr, draft.lateral})
      if (find) take(*find, study, find == draft.lateral);
    studies.push_back(std::move(study));
  }
  return studies;
}

}  // namespace

std::vector<Study> read_tcia_layout(const CsvTable& table, const fs::path& file,
                                    const InputOptions& options) {
  table.require_columns({"Subject ID", "Modality", "File Location"});
  const fs::path root = fs::absolute(images_folder(file, options)).lexically_normal();
  TciaSeries series = tcia_series(table, file, root);
  std::vector<Find> finds = find_dicom(series.files, options);
  for (Find& find : finds) find.patient = subject_below(series.subject_of, find);
  std::vector<Study> studies =
      studies_of(pair_finds(root, finds, options.find.pair_hours, options.views), false);
  std::set<std::string> taken;
  for (const Study& study : studies) taken.insert(study.id);
  for (Study& study : series.absent) {
    study.id = unique_id(safe_id(study.patient_id), taken);
    studies.push_back(std::move(study));
  }
  for (const auto& [modality, count] : series.others)
    log_info("{}: {} of modality '{}', passed over", file.string(), counted(count, "row"),
             modality);
  if (!series.absent_xrays.empty())
    log_warning("{}: {} not there, the first being {}", file.string(),
                counted(int64_t(series.absent_xrays.size()), "X-ray is", "X-rays are"),
                series.absent_xrays.front());
  return studies;
}

std::vector<Study> read_mids_layout(const CsvTable& table, const fs::path& file,
                                    const InputOptions& options) {
  const std::string column = table.has_column("participant") ? "participant" : "participant_id";
  table.require_columns({column});
  const fs::path root = images_folder(file, options);
  ImageIndex index(root, options);
  std::vector<Find> finds;
  std::vector<std::string> absent;
  for (size_t i = 0; i < table.size(); ++i) {
    const std::string subject = table.at(i, column);
    if (!subject.starts_with("sub-")) continue;  // derivatives
    const auto folders = index.folders_named(subject);
    if (folders.empty()) absent.push_back(subject);
    for (const auto& folder : folders) add_subject(folder, finds);
  }
  if (!absent.empty())
    log_warning("{}: {} without a folder below {}, the first being {}", file.string(),
                counted(int64_t(absent.size()), "participant"), root.string(), absent.front());
  return studies_of(pair_finds(root, finds, options.find.pair_hours, options.views), true);
}

}  // namespace x2ctpa
