#include "evaluation/report/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "evaluation/report/page.h"
#include "x2ctpa/core/base64.h"
#include "x2ctpa/core/counted.h"

namespace x2ctpa {

namespace {

using nlohmann::ordered_json;

constexpr size_t shown_studies = 300;  // with pictures, on the page
constexpr size_t shown_findings = 12;  // of one code, in the text

const char* const studies_caption =
    "Axial: anterior up, the patient's right on the left, through the middle of the lungs; "
    "coronal: "
    "head up. Grey from -1000 to 600 HU (other modalities: percentiles 0.5 to 99.5). \"Vessels\" "
    "is "
    "an estimate of the contrast in the pulmonary trunk: the 95th percentile, smoothed over 4 mm, "
    "of "
    "what lies between the lungs at its height; the ascending aorta and the superior vena cava lie "
    "there too.";

// Every finding by falling severity, then by code.
std::map<std::pair<int, std::string>, std::vector<const Finding*>> grouped(
    const CheckReport& report) {
  std::map<std::pair<int, std::string>, std::vector<const Finding*>> groups;
  const auto add = [&](const std::vector<Finding>& findings) {
    for (const Finding& f : findings) groups[{-int(f.severity), f.code}].push_back(&f);
  };
  add(report.findings);
  for (const StudyCheck& study : report.studies) add(study.findings);
  return groups;
}

// The findings of one code, those with the same words as one: ids and words.
std::vector<std::pair<std::string, std::string>> merged(
    const std::vector<const Finding*>& findings) {
  std::vector<std::pair<std::string, std::string>> rows;
  std::map<std::string, size_t> place;
  for (const Finding* f : findings) {
    const auto [found, is_new] = place.emplace(f->what, rows.size());
    if (is_new)
      rows.push_back({f->where, f->what});
    else
      rows[found->second].first += ", " + f->where;
  }
  return rows;
}

ordered_json finding_json(const Finding& f) {
  return {{"severity", severity_name(f.severity)},
          {"code", f.code},
          {"where", f.where},
          {"what", f.what},
          {"what_to_do", advice_for(f.code)}};
}

// Findings with the same code as the text and the page show them, the gravest first.
ordered_json by_code_json(const CheckReport& report) {
  ordered_json out = ordered_json::array();
  for (const auto& [key, findings] : grouped(report)) {
    ordered_json entries = ordered_json::array();
    for (const auto& [where, what] : merged(findings))
      entries.push_back({{"where", where}, {"what", what}});
    out.push_back({{"severity", severity_name(findings[0]->severity)},
                   {"code", key.second},
                   {"count", findings.size()},
                   {"what_to_do", advice_for(key.second)},
                   {"entries", entries}});
  }
  return out;
}

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json study_json(const StudyCheck& check) {
  ordered_json json = {{"id", check.study.id},
                       {"patient_id", check.study.patient_id},
                       {"ct_source", check.study.ct.string()},
                       {"cxr_source", check.study.cxr.string()},
                       {"pe", or_null(check.study.pe)},
                       {"split", check.study.split},
                       {"usable", check.usable()},
                       {"reason_code", check.reason_code},
                       {"reason", check.reason},
                       {"worst", severity_name(check.worst())}};
  if (check.ct) {
    const CtFacts& ct = *check.ct;
    json["ct"] = {{"size_dhw", ct.size_dhw},
                  {"spacing_mm", ct.spacing_mm},
                  {"obliqueness_degrees", ct.obliqueness_degrees},
                  {"min_value", ct.min_value},
                  {"max_value", ct.max_value},
                  {"air_hu", or_null(ct.air_hu)},
                  {"lung_litres", ct.lung_litres},
                  {"contrast_hu", or_null(ct.contrast_hu)},
                  {"pixel_hash", ct.hash}};
  }
  if (check.cxr) {
    const CxrFacts& cxr = *check.cxr;
    json["cxr"] = {{"height", cxr.height},     {"width", cxr.width},
                   {"bits", cxr.bits},         {"photometric", cxr.photometric},
                   {"modality", cxr.modality}, {"inverted", cxr.inverted},
                   {"mean", cxr.mean},         {"pixel_hash", cxr.hash}};
  }
  json["findings"] = ordered_json::array();
  for (const Finding& f : check.findings) json["findings"].push_back(finding_json(f));
  return json;
}

// Places of the studies that the page shows: the gravest first.
std::vector<size_t> shown_studies_of(const CheckReport& report) {
  std::vector<size_t> order(report.studies.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return report.studies[a].worst() > report.studies[b].worst();
  });
  order.resize(std::min(order.size(), shown_studies));
  return order;
}

}  // namespace

std::string check_text(const CheckReport& report) {
  const auto total = int64_t(report.studies.size());
  std::string text =
      fmt::format("{}: {} usable, {} would be rejected; {}, {}\n",
                  counted(total, "study", "studies"), report.usable(), total - report.usable(),
                  counted(int64_t(report.count(Severity::error)), "error"),
                  counted(int64_t(report.count(Severity::warning)), "warning"));
  for (const auto& [key, findings] : grouped(report)) {
    text += fmt::format("\n{} {} ({})\n", severity_name(findings[0]->severity), key.second,
                        findings.size());
    const auto rows = merged(findings);
    for (size_t i = 0; i < std::min(rows.size(), shown_findings); ++i)
      text += fmt::format("  {}: {}\n", rows[i].first, rows[i].second);
    if (rows.size() > shown_findings)
      text += fmt::format("  and {} more in report.json\n", rows.size() - shown_findings);
    text += fmt::format("  -> {}\n", advice_for(key.second));
  }
  return text;
}

std::string check_json(const CheckReport& report, const std::string& title) {
  ordered_json json = {{"schema", "x2ctpa.check/1"},
                       {"title", title},
                       {"notice", "Shows pictures of patients: keep it where the data may be."},
                       {"studies_total", report.studies.size()},
                       {"usable", report.usable()},
                       {"errors", report.count(Severity::error)},
                       {"warnings", report.count(Severity::warning)},
                       {"findings", ordered_json::array()},
                       {"by_code", by_code_json(report)},
                       {"studies", ordered_json::array()},
                       {"shown_studies", shown_studies_of(report)},
                       {"captions", {{"studies", studies_caption}}}};
  for (const Finding& f : report.findings) json["findings"].push_back(finding_json(f));
  for (const StudyCheck& study : report.studies) json["studies"].push_back(study_json(study));
  return json_text(json);
}

std::string check_page(const CheckReport& report, const std::string& json) {
  ordered_json pictures = ordered_json::array();
  for (const size_t place : shown_studies_of(report)) {
    ordered_json of_study = ordered_json::array();
    for (const std::string& png : report.studies[place].pictures) of_study.push_back(base64(png));
    pictures.push_back(of_study);
  }
  return report_page(json, pictures, false);
}

}  // namespace x2ctpa
