#include "evaluation/report/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "evaluation/report/html.h"

namespace x2ctpa {

extern const char* const report_css;

namespace {

using nlohmann::ordered_json;

constexpr size_t shown_studies = 300;  // with pictures, in the HTML
constexpr size_t shown_findings = 12;  // of one code

const char* const check_css =
    ".error,.warn,.info{display:inline-block;padding:1px 8px;border-radius:9px;font-size:12px;"
    "white-space:nowrap}.error{background:#fbdcd6;color:#8c2413}.warn{background:#fff3d6;color:"
    "#6b4a00}.info{background:#e4ecf5;color:#29527a}"
    ".studies{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr));gap:"
    "14px}.study{border:1px solid var(--line);border-radius:8px;padding:12px;min-width:0}"
    ".study h3{margin:0 0 6px;overflow-wrap:anywhere}.pictures{display:grid;grid-template-columns:"
    "repeat(3,1fr);gap:6px}.pictures div{aspect-ratio:1;background:#000;border-radius:3px;display:"
    "flex;align-items:center;justify-content:center;color:#77808a;font-size:12px}"
    ".pictures img{max-width:100%;max-height:100%}.study ul{margin:8px 0 0;padding-left:18px;"
    "font-size:13px}.study li{overflow-wrap:anywhere}.facts{margin:8px 0 0;color:var(--soft);"
    "font-size:12.5px}td{overflow-wrap:anywhere}";

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

std::string shortened(const std::string& text, size_t most) {
  return text.size() <= most ? text : text.substr(0, most) + " ...";
}

std::string facts_of(const StudyCheck& study) {
  std::string text;
  if (study.ct) {
    const CtFacts& ct = *study.ct;
    text += fmt::format("{} x {} x {} voxels of {:.2f} x {:.2f} x {:.2f} mm, values {:g} to {:g}",
                        ct.size_dhw[2], ct.size_dhw[1], ct.size_dhw[0], ct.spacing_mm[0],
                        ct.spacing_mm[1], ct.spacing_mm[2], ct.min_value, ct.max_value);
    if (ct.air_hu) text += fmt::format(", air {:.0f} HU", *ct.air_hu);
    if (ct.lung_litres > 0) text += fmt::format(", lungs {:.2f} l", ct.lung_litres);
    if (ct.contrast_hu) text += fmt::format(", vessels about {:.0f} HU", *ct.contrast_hu);
    text += ". ";
  }
  if (study.cxr) {
    text += fmt::format("X-ray {} x {}, {} bits, {}{}.", study.cxr->width, study.cxr->height,
                        study.cxr->bits, study.cxr->photometric,
                        study.cxr->inverted ? ", inverted to bone bright" : "");
  }
  return text;
}

std::string chip(Severity severity) {
  const char* style[] = {"info", "warn", "error"};
  return fmt::format("<span class=\"{}\">{}</span>", style[int(severity)], severity_name(severity));
}

std::string findings_section(const CheckReport& report) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, findings] : grouped(report)) {
    std::string what;
    const auto rows_of_code = merged(findings);
    for (size_t i = 0; i < std::min(rows_of_code.size(), shown_findings); ++i) {
      what += fmt::format("{}<b>{}</b>: {}", i ? "<br>" : "",
                          html_escaped(shortened(rows_of_code[i].first, 400)),
                          html_escaped(shortened(rows_of_code[i].second, 400)));
    }
    if (rows_of_code.size() > shown_findings)
      what += fmt::format("<br>and {} more in report.json", rows_of_code.size() - shown_findings);
    rows.push_back({chip(findings[0]->severity),
                    fmt::format("<code>{}</code><br><small>{}</small>", html_escaped(key.second),
                                findings.size() == 1 ? std::string("once")
                                                     : fmt::format("{} times", findings.size())),
                    what, html_escaped(advice_for(key.second))});
  }
  return "<section><h2>Findings</h2>" +
         (rows.empty() ? std::string("<p>None.</p>")
                       : html_table({"", "Code", "Where and what", "What to do"}, rows, 99)) +
         "</section>\n";
}

std::string picture(const std::string& png, const char* name, const std::string& id) {
  if (png.empty()) return fmt::format("<div>no {}</div>", name);
  return fmt::format("<div><img src=\"data:image/png;base64,{}\" alt=\"{} of {}\"></div>",
                     base64(png), name, html_escaped(id));
}

std::string study_figure(const StudyCheck& check) {
  std::string html = fmt::format(
      "<div class=\"study\"><h3>{} {}</h3><div class=\"pictures\">", html_escaped(check.study.id),
      check.usable() ? chip(check.worst()) : "<span class=\"error\">would be rejected</span>");
  const char* names[] = {"axial slice", "coronal slice", "X-ray"};
  for (size_t i = 0; i < check.pictures.size(); ++i)
    html += picture(check.pictures[i], names[i], check.study.id);
  html += fmt::format("</div><p class=\"facts\">patient {}; {}; {}. {}</p>",
                      html_escaped(check.study.patient_id),
                      check.study.pe ? (*check.study.pe ? "PE" : "no PE") : "PE unknown",
                      check.study.split.empty() ? "split not given" : check.study.split,
                      html_escaped(facts_of(check)));
  if (!check.findings.empty()) html += "<ul>";
  for (const Finding& f : check.findings) {
    html += fmt::format("<li>{} <code>{}</code> {}</li>", chip(f.severity), html_escaped(f.code),
                        html_escaped(shortened(f.what, 300)));
  }
  if (!check.findings.empty()) html += "</ul>";
  return html + "</div>\n";
}

std::string studies_section(const CheckReport& report) {
  std::vector<const StudyCheck*> order;
  for (const StudyCheck& study : report.studies) order.push_back(&study);
  std::stable_sort(order.begin(), order.end(), [](const StudyCheck* a, const StudyCheck* b) {
    return a->worst() > b->worst();
  });
  std::string html = "<section><h2>Studies</h2><div class=\"studies\">\n";
  for (size_t i = 0; i < std::min(order.size(), shown_studies); ++i)
    html += study_figure(*order[i]);
  html += "</div>\n";
  if (order.size() > shown_studies) {
    html += fmt::format(
        "<p class=\"protocol\">The {} studies with the gravest findings of {}; all "
        "are in report.json.</p>",
        shown_studies, order.size());
  }
  return html +
         "<p class=\"protocol\">Axial: anterior up, the patient's right on the left, through the "
         "middle of the lungs; coronal: head up. Grey from -1000 to 600 HU (other modalities: "
         "percentiles 0.5 to 99.5). \"Vessels\" is an estimate of the contrast in the pulmonary "
         "trunk: the 95th percentile, smoothed over 4 mm, of what lies between the lungs at its "
         "height; the ascending aorta and the superior vena cava lie there too.</p></section>\n";
}

std::string summary_section(const CheckReport& report) {
  const auto card = [](const char* label, int64_t value, const std::string& note) {
    return fmt::format(
        "<div class=\"card\"><div class=\"label\">{}</div><div class=\"value\">{}"
        "</div><div class=\"note\">{}</div></div>",
        label, value, note);
  };
  const auto total = int64_t(report.studies.size());
  int64_t pairs = 0;
  std::map<std::string, int64_t> patients;
  for (const StudyCheck& s : report.studies) {
    pairs += s.usable() && !s.study.ct.empty() && !s.study.cxr.empty();
    ++patients[s.study.patient_id];
  }
  return "<section><h2>Summary</h2><div class=\"cards\">" +
         card("Studies", total, fmt::format("of {} patients", patients.size())) +
         card("Usable", report.usable(), fmt::format("{} of them pairs", pairs)) +
         card("Would be rejected", total - report.usable(), "by preprocess with these options") +
         card("Errors", report.count(Severity::error), "must be put right") +
         card("Warnings", report.count(Severity::warning), "look at them") + "</div></section>\n";
}

ordered_json finding_json(const Finding& f) {
  return {{"severity", severity_name(f.severity)},
          {"code", f.code},
          {"where", f.where},
          {"what", f.what},
          {"what_to_do", advice_for(f.code)}};
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
                       {"reason", check.reason}};
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

}  // namespace

std::string check_text(const CheckReport& report) {
  const auto total = int64_t(report.studies.size());
  std::string text =
      fmt::format("{} studies: {} usable, {} would be rejected; {} errors, {} warnings\n", total,
                  report.usable(), total - report.usable(), report.count(Severity::error),
                  report.count(Severity::warning));
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

std::string check_json(const CheckReport& report) {
  ordered_json json = {{"studies_total", report.studies.size()},
                       {"usable", report.usable()},
                       {"errors", report.count(Severity::error)},
                       {"warnings", report.count(Severity::warning)}};
  json["findings"] = ordered_json::array();
  for (const Finding& f : report.findings) json["findings"].push_back(finding_json(f));
  json["studies"] = ordered_json::array();
  for (const StudyCheck& study : report.studies) json["studies"].push_back(study_json(study));
  // Headers may hold bytes that are no UTF-8.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string check_html(const CheckReport& report, const std::string& title) {
  return fmt::format(
             "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta "
             "name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{0} – "
             "x2ctpa "
             "data check</title><style>{1}{2}</style></head>\n<body>\n<header><div><p "
             "class=\"kind\">x2ctpa data check</p><h1>{0}</h1></div><p class=\"warning\">Shows "
             "pictures of patients: keep it where the data may be.</p></header>\n<main>\n",
             html_escaped(title), report_css, check_css) +
         summary_section(report) + findings_section(report) + studies_section(report) +
         "</main></body></html>\n";
}

}  // namespace x2ctpa
