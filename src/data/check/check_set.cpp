// The data doctor over all studies: splits, equal images, pairs, labels, contrast.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/check/check_parts.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/preprocess/splits.h"

namespace x2ctpa {
namespace {

// Wittram, AJR 188 (2007) 1255: least contrast that shows acute and chronic emboli.
constexpr double acute_hu = 93, chronic_hu = 211;

using Checks = std::vector<const StudyCheck*>;

std::string ids(const Checks& checks) {
  std::vector<std::string> names;
  for (const StudyCheck* check : checks) names.push_back(check->study.id);
  return fmt::format("{}", fmt::join(names, ", "));
}

// The given splits: those of the splits file, else of the manifest.
void add_split_findings(std::vector<StudyCheck>& checks, const PreprocessOptions& options,
                        std::vector<Finding>& findings) {
  if (!options.splits_file.empty()) {
    std::vector<Case> cases;
    for (const StudyCheck& check : checks)
      cases.push_back({check.study.id, check.study.patient_id, check.study.split});
    try {
      apply_splits(read_splits(options.splits_file), options.splits_file, cases);
      for (size_t i = 0; i < checks.size(); ++i) checks[i].study.split = cases[i].split;
    } catch (const Error& e) {
      findings.push_back({Severity::error, "splits-file", "all studies", e.what()});
    }
  }
  std::map<std::string, Checks> patients;
  for (const StudyCheck& check : checks) {
    if (!check.study.split.empty()) patients[check.study.patient_id].push_back(&check);
  }
  for (const auto& [patient, of_patient] : patients) {
    std::set<std::string> splits;
    for (const StudyCheck* check : of_patient) splits.insert(check->study.split);
    if (splits.size() < 2) continue;
    findings.push_back({Severity::error, "leakage", ids(of_patient),
                        fmt::format("patient {} is in {}", patient, fmt::join(splits, " and "))});
  }
}

// Groups of studies with one image.
void add_duplicates(const std::vector<StudyCheck>& checks, const char* what,
                    const std::function<std::string(const StudyCheck&)>& hash_of,
                    std::vector<Finding>& findings) {
  std::map<std::string, Checks> groups;
  for (const StudyCheck& check : checks) {
    const std::string hash = hash_of(check);
    if (!hash.empty()) groups[hash].push_back(&check);
  }
  for (const auto& [hash, group] : groups) {
    if (group.size() < 2) continue;
    std::set<std::string> patients, splits;
    for (const StudyCheck* check : group) {
      patients.insert(check->study.patient_id);
      splits.insert(check->study.split);
    }
    splits.erase("");
    if (splits.size() > 1) {
      findings.push_back({Severity::error, "leakage", ids(group),
                          fmt::format("one {} stands in {}", what, fmt::join(splits, " and "))});
    } else if (patients.size() > 1) {
      findings.push_back({Severity::error, "duplicate-across-patients", ids(group),
                          fmt::format("one {} belongs to {} patients: {}", what, patients.size(),
                                      fmt::join(patients, ", "))});
    } else {
      findings.push_back({Severity::warning, "duplicate", ids(group),
                          fmt::format("one {} comes {} times", what, group.size())});
    }
  }
}

void add_pair_findings(const std::vector<StudyCheck>& checks, std::vector<Finding>& findings) {
  Checks no_ct, no_cxr;
  for (const StudyCheck& check : checks) {
    if (!check.usable()) continue;
    if (check.study.ct.empty()) no_ct.push_back(&check);
    if (check.study.cxr.empty() && check.study.cxr_lateral.empty()) no_cxr.push_back(&check);
  }
  const size_t single = no_ct.size() + no_cxr.size();
  // One finding of the set is enough where nothing was meant to be paired.
  if (!no_ct.empty()) {
    findings.push_back({Severity::info, "unpaired", ids(no_ct),
                        counted(int64_t(no_ct.size()), "X-ray has", "X-rays have") + " no volume"});
  }
  if (!no_cxr.empty()) {
    findings.push_back(
        {Severity::info, "unpaired", ids(no_cxr),
         counted(int64_t(no_cxr.size()), "volume has", "volumes have") + " no X-ray"});
  }
  if (!checks.empty() && single >= checks.size()) {
    findings.push_back({Severity::warning, "no-pairs", "all studies",
                        "no study has both a volume and an X-ray; the diffusion model needs such"});
  }
}

void add_label_findings(const std::vector<StudyCheck>& checks, std::vector<Finding>& findings) {
  int64_t positive = 0, negative = 0, unknown = 0;
  for (const StudyCheck& check : checks) {
    if (!check.usable()) continue;
    ++(!check.study.pe ? unknown : *check.study.pe == 1 ? positive : negative);
  }
  if (positive + negative + unknown == 0) return;
  const std::string counts =
      fmt::format("{} positive, {} negative, {} without a label", positive, negative, unknown);
  const bool both = positive > 0 && negative > 0;
  findings.push_back({both || positive + negative == 0 ? Severity::info : Severity::warning,
                      positive + negative == 0 ? "no-labels"
                      : both                   ? "labels"
                                               : "one-class",
                      "all studies", counts});
}

// A scan without contrast among scans with it is doubtful; a set of plain scans is one remark.
void add_contrast_findings(const std::vector<StudyCheck>& checks, std::vector<Finding>& findings) {
  Checks measured, without, weak;
  for (const StudyCheck& check : checks) {
    if (!check.ct || !check.ct->contrast_hu) continue;
    measured.push_back(&check);
    if (*check.ct->contrast_hu < acute_hu)
      without.push_back(&check);
    else if (*check.ct->contrast_hu < chronic_hu)
      weak.push_back(&check);
  }
  if (measured.empty()) return;
  if (2 * without.size() > measured.size()) {
    findings.push_back(
        {Severity::info, "plain-ct", ids(without),
         fmt::format("{} of {} with less than {} HU in the vessels between the lungs: a set of "
                     "plain CT",
                     without.size(), counted(int64_t(measured.size()), "scan"), acute_hu)});
  } else {
    for (const StudyCheck* check : without) {
      findings.push_back({Severity::warning, "no-contrast", check->study.id,
                          fmt::format("about {:.0f} HU in the vessels between the lungs; acute "
                                      "emboli need {}",
                                      *check->ct->contrast_hu, acute_hu)});
    }
  }
  for (const StudyCheck* check : weak) {
    findings.push_back({Severity::info, "weak-contrast", check->study.id,
                        fmt::format("about {:.0f} HU in the vessels between the lungs; {} are good",
                                    *check->ct->contrast_hu, chronic_hu)});
  }
}

}  // namespace

std::vector<Finding> examine_set(std::vector<StudyCheck>& checks,
                                 const PreprocessOptions& options) {
  std::vector<Finding> findings;
  add_split_findings(checks, options, findings);
  add_duplicates(
      checks, "volume", [](const StudyCheck& c) { return c.ct ? c.ct->hash : ""; }, findings);
  add_duplicates(
      checks, "X-ray", [](const StudyCheck& c) { return c.cxr ? c.cxr->hash : ""; }, findings);
  add_pair_findings(checks, findings);
  add_label_findings(checks, findings);
  if (options.modality == Modality::ct) add_contrast_findings(checks, findings);
  return findings;
}

}  // namespace x2ctpa
