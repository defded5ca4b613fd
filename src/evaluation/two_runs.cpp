// Two evaluations side by side.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Side {
  fs::path folder;  // that holds metrics.json
  json metrics;
};

Side read_side(const fs::path& given) {
  for (const fs::path& folder : {given, given / "evaluation"}) {
    if (!fs::exists(folder / "metrics.json")) continue;
    Side side{folder, json::parse(read_file(folder / "metrics.json"), nullptr, false)};
    if (!side.metrics.is_object() || side.metrics.value("schema", "") != "x2ctpa.evaluation/2") {
      throw Error(
          fmt::format("{}: expected the schema x2ctpa.evaluation/2; run x2ctpa evaluate again",
                      (folder / "metrics.json").string()));
    }
    return side;
  }
  throw Error(
      fmt::format("--compare: expected {} or a folder of that name in it to hold metrics.json",
                  given.string()),
      ExitCode::no_data);
}

struct Line {
  std::string number, protocol;
  double a = 0, b = 0, p = std::nan("");
  int64_t common = 0;
  std::string test;
  double p_holm = std::nan("");
};

double value_or_nan(const json& value) {
  return value.is_number() ? value.get<double>() : std::nan("");
}

// Values of a column by case.
std::map<std::string, double> column_of(const CsvTable& table, const std::string& column) {
  std::map<std::string, double> values;
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string text = table.get(row, column);
    if (!text.empty()) values.emplace(table.at(row, "case_id"), std::strtod(text.c_str(), nullptr));
  }
  return values;
}

void add_images(std::vector<Line>& lines, const Side& a, const Side& b) {
  const auto& in_a = a.metrics.at("images").at("metrics");
  const auto& in_b = b.metrics.at("images").at("metrics");
  if (in_a.empty() || in_b.empty()) return;
  const CsvTable cases_a = CsvTable::read(a.folder / "per_case.csv"),
                 cases_b = CsvTable::read(b.folder / "per_case.csv");
  for (const MetricName& name : metric_names) {
    if (!in_a.contains(name.key) || !in_b.contains(name.key)) continue;
    Line line{fmt::format("{}, median", name.label), name.protocol,
              value_or_nan(in_a[name.key]["generated"]["median"]),
              value_or_nan(in_b[name.key]["generated"]["median"])};
    const std::string column = fmt::format("generated_{}", name.key);
    const auto values_a = column_of(cases_a, column), values_b = column_of(cases_b, column);
    std::vector<double> first, second;
    for (const auto& [id, value] : values_a) {
      const auto found = values_b.find(id);
      if (found == values_b.end() || std::isnan(value - found->second)) continue;
      first.push_back(value);
      second.push_back(found->second);
    }
    line.common = int64_t(first.size());
    if (!first.empty()) {
      const WilcoxonResult test = paired_test(first, second);
      line.p = test.p;
      line.test = std::isnan(test.p) ? test.method : "Wilcoxon signed-rank, same cases";
    }
    lines.push_back(line);
  }
}

struct Scored {
  int label;
  double score;
};

std::map<std::string, Scored> scores_of(const fs::path& file, const std::string& split) {
  std::map<std::string, Scored> out;
  if (!fs::exists(file)) return out;
  const CsvTable table = CsvTable::read(file);
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.has_column("split") && split != "all" && table.at(row, "split") != split) continue;
    const std::string label = table.get(row, "label");
    const double score = std::strtod(table.get(row, "score", "nan").c_str(), nullptr);
    if ((label == "0" || label == "1") && std::isfinite(score))
      out.emplace(table.get(row, "study_id"), Scored{label == "1", score});
  }
  return out;
}

void add_arms(std::vector<Line>& lines, const Side& a, const Side& b) {
  const auto& in_a = a.metrics.at("classification").at("arms");
  const auto& in_b = b.metrics.at("classification").at("arms");
  for (const auto& [name, arm] : in_a.items()) {
    if (!in_b.contains(name)) continue;
    Line line{"AUC, " + name, "x2ctpa/1", value_or_nan(arm["auc"]),
              value_or_nan(in_b[name]["auc"])};
    const json& told = a.metrics["protocol"]["split"];
    const std::string split = told.is_string() ? told.get<std::string>() : "all";
    const auto scores_a = scores_of(arm["file"].get<std::string>(), split),
               scores_b = scores_of(in_b[name]["file"].get<std::string>(), split);
    std::vector<int> labels;
    std::vector<double> first, second;
    for (const auto& [study, s] : scores_a) {
      const auto found = scores_b.find(study);
      if (found == scores_b.end() || found->second.label != s.label) continue;
      labels.push_back(s.label);
      first.push_back(s.score);
      second.push_back(found->second.score);
    }
    line.common = int64_t(labels.size());
    const auto positives = std::count(labels.begin(), labels.end(), 1);
    if (positives > 0 && positives < line.common) {
      line.p = delong_paired(labels, first, second).p;
      line.test = "paired DeLong, same studies";
    }
    lines.push_back(line);
  }
}

void add_features(std::vector<Line>& lines, const Side& a, const Side& b) {
  for (const auto& [key, value] : a.metrics.at("features").items()) {
    if (b.metrics.at("features").contains(key))
      lines.push_back({key, value["protocol"], value_or_nan(value["value"]),
                       value_or_nan(b.metrics["features"][key]["value"])});
  }
}

void correct(std::vector<Line>& lines) {
  std::vector<double> p;
  for (const Line& line : lines) p.push_back(line.p);
  const auto adjusted = holm_adjusted(p);
  for (size_t i = 0; i < lines.size(); ++i) lines[i].p_holm = adjusted[i];
}

}  // namespace

ExitCode compare_runs(const fs::path& first, const fs::path& second, const fs::path& out) {
  const Side a = read_side(first), b = read_side(second);
  for (const char* key : {"window_hu", "split"}) {
    const json &in_a = a.metrics["protocol"][key], &in_b = b.metrics["protocol"][key];
    if (in_a != in_b) {
      throw Error(
          fmt::format("--compare: the evaluations differ in {}: {} and {}. Evaluate both alike.",
                      key, in_a.dump(), in_b.dump()));
    }
  }
  std::vector<Line> lines;
  add_images(lines, a, b);
  add_features(lines, a, b);
  add_arms(lines, a, b);
  if (lines.empty())
    throw Error("--compare: the evaluations have no number in common", ExitCode::no_data);
  correct(lines);
  CsvTable table({"number", "protocol", "a", "b", "difference", "n", "p", "p_holm", "test"});
  std::string text = fmt::format(
      "A {}\nB {}\n\n| number | protocol | A | B | B − A | N | p (Holm) |\n"
      "|---|---|---:|---:|---:|---:|---:|\n",
      a.folder.string(), b.folder.string());
  const auto field = [](double v) { return std::isnan(v) ? "" : fmt::format("{:.8g}", v); };
  for (const Line& line : lines) {
    table.add({line.number, line.protocol, field(line.a), field(line.b), field(line.b - line.a),
               std::to_string(line.common), field(line.p), field(line.p_holm), line.test});
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", line.number, line.protocol,
                        number_text(line.a, 3), number_text(line.b, 3),
                        number_text(line.b - line.a, 3), line.common, p_text(line.p_holm));
  }
  text +=
      "\np: two-sided Wilcoxon signed-rank on the same cases, paired DeLong on the same studies; "
      "Holm over all lines.\n";
  std::cout << text << std::flush;
  if (!out.empty()) {
    table.write(out / "comparison.csv");
    write_file(out / "comparison.md", text);
  }
  return ExitCode::ok;
}

}  // namespace x2ctpa
