#include "data/studies/pair_finds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "x2ctpa/core/log.h"
#include "x2ctpa/data/studies/pair_views.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

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

class Pairing {
 public:
  explicit Pairing(double pair_hours) : pair_hours_(pair_hours) {}

  std::vector<Draft> drafts(const fs::path& root, const std::vector<Find>& finds) {
    std::map<std::string, std::vector<const Find*>> by_patient;
    for (const Find& find : finds)
      if (!find.patient.empty()) by_patient[find.patient].push_back(&find);
    for (const auto& [patient, of_patient] : by_patient) pair_by_headers(of_patient);
    std::vector<const Find*> left;
    for (const Find& find : finds)
      if (!paired_.contains(&find)) left.push_back(&find);
    divide(root, left);
    return std::move(drafts_);
  }

 private:
  void pair(const Find& ct, const Find& cxr, const fs::path& folder, const std::string& note) {
    drafts_.push_back({&ct, &cxr, folder, note});
    paired_.insert(&ct);
    paired_.insert(&cxr);
  }

  // Pairs the CTs and frontal X-rays of one patient.
  void pair_by_headers(const std::vector<const Find*>& finds) {
    std::vector<const Find*> cts, xrays;
    for (const Find* find : finds)
      if (find->is_ct ? find->refused.empty() : !find->lateral)
        (find->is_ct ? cts : xrays).push_back(find);
    std::vector<std::tuple<double, const Find*, const Find*>> near;
    for (const Find* ct : cts)
      for (const Find* xray : xrays)
        if (const auto hours = hours_between(*ct, *xray); hours && *hours <= pair_hours_)
          near.emplace_back(*hours, ct, xray);
    std::stable_sort(near.begin(), near.end(),
                     [](const auto& a, const auto& b) { return std::get<0>(a) < std::get<0>(b); });
    for (const auto& [hours, ct, xray] : near)
      if (!paired_.contains(ct) && !paired_.contains(xray))
        pair(*ct, *xray, common_parent(ct->folder, xray->folder),
             fmt::format("paired by date: {:.1f} h apart", hours));
    const bool one_of_each = cts.size() == 1 && xrays.size() == 1 && !paired_.contains(cts[0]);
    if (one_of_each && !hours_between(*cts[0], *xrays[0]))
      pair(*cts[0], *xrays[0], common_parent(cts[0]->folder, xrays[0]->folder),
           "paired as the only CT and X-ray of the patient; their dates are unknown");
    else if (one_of_each)
      log_info("{} and {} are of one patient, but more than {} h apart; not paired",
               cts[0]->shown.string(), xrays[0]->shown.string(), pair_hours_);
  }

  bool may_pair(const Find& a, const Find& b) const {
    if (!a.patient.empty() && !b.patient.empty() && a.patient != b.patient) return false;
    if (a.lateral || b.lateral || !a.refused.empty() || !b.refused.empty()) return false;
    const auto hours = hours_between(a, b);
    return !hours || *hours <= pair_hours_;
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

  double pair_hours_;
  std::set<const Find*> paired_;
  std::vector<Draft> drafts_;
};

// Lateral X-rays that are alone go to their patients' studies.
std::vector<Draft> with_laterals(const std::vector<Draft>& drafts, double pair_hours) {
  std::vector<ViewedXray> xrays;
  for (const Draft& draft : drafts) {
    const Find& find = draft.cxr ? *draft.cxr : *draft.ct;
    xrays.push_back({find.shown, find.folder, !draft.ct && draft.cxr->lateral, find.patient,
                     find.study_uid, find.time_s});
  }
  const auto lateral_of = laterals_of(xrays, pair_hours);
  std::set<size_t> joined;
  for (const auto& [other, lateral] : lateral_of) joined.insert(lateral);
  std::vector<Draft> found;
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (joined.contains(i)) continue;
    Draft draft = drafts[i];
    if (xrays[i].lateral) {
      draft.lateral = draft.cxr;
      draft.cxr = nullptr;
    } else if (const auto own = lateral_of.find(i); own != lateral_of.end()) {
      draft.lateral = drafts[own->second].cxr;
      draft.folder = common_parent(draft.folder.empty() ? draft.first().folder : draft.folder,
                                   draft.lateral->folder);
    }
    found.push_back(std::move(draft));
  }
  return found;
}

}  // namespace

std::vector<Draft> pair_finds(const fs::path& root, const std::vector<Find>& finds,
                              double pair_hours, CxrViews views) {
  std::vector<Draft> drafts = Pairing(pair_hours).drafts(root, finds);
  if (views == CxrViews::both) drafts = with_laterals(drafts, pair_hours);
  std::stable_sort(drafts.begin(), drafts.end(), [](const Draft& a, const Draft& b) {
    return a.first().shown < b.first().shown;
  });
  return drafts;
}

}  // namespace x2ctpa
