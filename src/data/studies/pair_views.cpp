#include "x2ctpa/data/studies/pair_views.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/studies/input_options.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/xray/view_pair.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

constexpr double unknown_time = std::numeric_limits<double>::infinity();

// Joins laterals to what is no lateral, each once.
class ViewPairing {
 public:
  ViewPairing(const std::vector<ViewedXray>& xrays, double pair_hours)
      : xrays_(xrays), pair_hours_(pair_hours) {}

  std::map<size_t, size_t> find() {
    by_header();
    by_name();
    by_folder();
    return std::move(lateral_of_);
  }

 private:
  using Candidate = std::tuple<bool, double, size_t, size_t>;  // other study, hours, both numbers

  void join(size_t other, size_t lateral) {
    if (lateral_of_.contains(other) || taken_.contains(lateral)) return;
    lateral_of_[other] = lateral;
    taken_.insert(lateral);
  }

  bool both_named(const ViewedXray& a, const ViewedXray& b) const {
    return !a.patient.empty() && !b.patient.empty();
  }

  void by_header() {
    std::vector<Candidate> near;
    std::map<std::string, std::pair<int, int>> counts;  // others and laterals of a patient
    for (const auto& x : xrays_)
      if (!x.patient.empty()) ++(x.lateral ? counts[x.patient].second : counts[x.patient].first);
    for (size_t i = 0; i < xrays_.size(); ++i)
      for (size_t j = 0; j < xrays_.size(); ++j) {
        const ViewedXray &a = xrays_[i], &b = xrays_[j];
        if (a.lateral || !b.lateral || !both_named(a, b) || a.patient != b.patient) continue;
        const bool same_study = !a.study_uid.empty() && a.study_uid == b.study_uid;
        const double hours =
            a.time_s && b.time_s ? std::abs(*a.time_s - *b.time_s) / 3600 : unknown_time;
        const bool only = counts[a.patient] == std::pair(1, 1);
        const bool fits = hours <= pair_hours_ || (hours == unknown_time && (same_study || only));
        if (fits) near.emplace_back(!same_study, hours, i, j);
      }
    std::sort(near.begin(), near.end());
    for (const auto& [other_study, hours, i, j] : near) join(i, j);
  }

  // Whether headers let two of a folder go together.
  bool may_join(const ViewedXray& a, const ViewedXray& b) const {
    return !a.lateral && b.lateral && a.folder == b.folder && !both_named(a, b);
  }

  void by_name() {
    for (size_t i = 0; i < xrays_.size(); ++i)
      for (size_t j = 0; j < xrays_.size(); ++j)
        if (may_join(xrays_[i], xrays_[j]) &&
            name_without_view(xrays_[i].file) == name_without_view(xrays_[j].file))
          join(i, j);
  }

  void by_folder() {
    std::map<fs::path, std::pair<std::vector<size_t>, std::vector<size_t>>> folders;
    for (size_t i = 0; i < xrays_.size(); ++i) {
      auto& [others, laterals] = folders[xrays_[i].folder];
      (xrays_[i].lateral ? laterals : others).push_back(i);
    }
    for (const auto& [folder, found] : folders) {
      const auto& [others, laterals] = found;
      if (others.size() == 1 && laterals.size() == 1 &&
          may_join(xrays_[others[0]], xrays_[laterals[0]]))
        join(others[0], laterals[0]);
    }
  }

  const std::vector<ViewedXray>& xrays_;
  double pair_hours_;
  std::map<size_t, size_t> lateral_of_;
  std::set<size_t> taken_;
};

ViewedXray viewed(const fs::path& file) {
  ViewedXray xray{file, file.parent_path()};
  xray.lateral = view_of_file(file) == CxrView::lateral;
  if (is_picture_file(file)) return xray;
  try {
    const SeriesTags tags = read_dicom_tags(file);
    xray.patient = tags.patient_id;
    xray.study_uid = tags.study_uid;
    xray.time_s = tags.time_s;
  } catch (const Error& e) {
    log_debug("{}", e.what());  // its own reader says it better
  }
  return xray;
}

}  // namespace

std::map<size_t, size_t> laterals_of(const std::vector<ViewedXray>& xrays, double pair_hours) {
  return ViewPairing(xrays, pair_hours).find();
}

std::vector<PatientFiles> pair_view_files(const std::vector<fs::path>& files) {
  std::vector<ViewedXray> xrays;
  for (const auto& file : files) xrays.push_back(viewed(file));
  const auto lateral_of = laterals_of(xrays, FindOptions().pair_hours);
  std::set<size_t> joined;
  for (const auto& [other, lateral] : lateral_of) joined.insert(lateral);
  std::vector<PatientFiles> patients;
  int64_t alone = 0, single = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (joined.contains(i)) continue;
    const auto own = lateral_of.find(i);
    if (xrays[i].lateral) {
      ++alone;
      patients.push_back({{}, files[i]});
    } else {
      single += own == lateral_of.end();
      patients.push_back({files[i], own == lateral_of.end() ? fs::path() : files[own->second]});
    }
  }
  log_info("{} with both views, {} frontal alone", counted(int64_t(joined.size()), "patient"),
           single);
  if (alone > 0)
    log_warning("{} found no frontal one of the same patient; each is taken alone",
                counted(alone, "lateral X-ray"));
  return patients;
}

}  // namespace x2ctpa
