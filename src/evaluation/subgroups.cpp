// The numbers of evaluate by the columns that the dataset keeps of its manifest.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "x2ctpa/core/csv.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// A column of more values divides into cases, not into groups.
constexpr size_t most_values = 20;

struct Subgroup {
  std::string column, value;
  std::set<std::string> cases;
};

std::vector<Subgroup> subgroups_of(const Dataset& dataset) {
  std::map<std::string, std::map<std::string, std::set<std::string>>> columns;
  for (const Case& c : dataset.cases())
    for (const auto& [column, value] : c.groups)
      if (!value.empty()) columns[column][value].insert(c.id);
  std::vector<Subgroup> subgroups;
  for (const auto& [column, values] : columns) {
    if (values.size() > most_values) continue;
    for (const auto& [value, cases] : values) subgroups.push_back({column, value, cases});
  }
  return subgroups;
}

std::string plain(double value) { return std::isnan(value) ? "" : fmt::format("{:.6g}", value); }

void add_images(const Evaluation& evaluation, const Subgroup& group, CsvTable& table) {
  for (const MetricSummary& summary : evaluation.images.metrics) {
    std::vector<double> values;
    for (const CaseResult& c : evaluation.images.cases) {
      const auto& quality = c.quality[source::generated];
      if (!group.cases.contains(c.pair.case_id) || !quality) continue;
      if (!std::isnan((*quality)[summary.metric])) values.push_back((*quality)[summary.metric]);
    }
    if (values.empty()) continue;
    const Distribution d = distribution_of(values);
    table.add({group.column, group.value, "generated", metric_names[summary.metric].key,
               std::to_string(d.n), "", plain(d.median), plain(d.q1), plain(d.q3)});
  }
}

// The area over the subgroup's studies; where all of them have PE, against every study without.
void add_area(const ArmResult& arm, const Subgroup& group, CsvTable& table) {
  std::vector<int> labels;
  std::vector<double> scores;
  const auto add = [&](size_t i) {
    labels.push_back(arm.labels[i]);
    scores.push_back(arm.scores[i]);
  };
  for (size_t i = 0; i < arm.studies.size(); ++i)
    if (group.cases.contains(arm.studies[i])) add(i);
  if (labels.empty()) return;
  const auto positives = std::count(labels.begin(), labels.end(), 1);
  const bool only_positives = size_t(positives) == labels.size();
  if (only_positives)
    for (size_t i = 0; i < arm.studies.size(); ++i)
      if (arm.labels[i] == 0) add(i);
  const bool told = int64_t(labels.size()) >= fewest_studies && positives > 0 &&
                    size_t(positives) < labels.size();
  std::vector<std::string> row{group.column,
                               group.value,
                               arm.name,
                               only_positives ? "auc_against_all_without_pe" : "auc",
                               std::to_string(labels.size()),
                               std::to_string(positives)};
  if (told) {
    const AucEstimate area = delong_auc(labels, scores);
    row.push_back(plain(area.auc));
    if (area.interval)
      row.insert(row.end(), {plain(area.interval->low), plain(area.interval->high)});
  }
  row.resize(9);
  table.add(row);
}

}  // namespace

void write_subgroups(const Evaluation& evaluation, const fs::path& folder) {
  CsvTable table(
      {"column", "value", "source", "number", "n", "positives", "estimate", "low", "high"});
  if (evaluation.inputs.dataset) {
    for (const Subgroup& group : subgroups_of(*evaluation.inputs.dataset)) {
      add_images(evaluation, group, table);
      for (const ArmResult& arm : evaluation.scores.arms) add_area(arm, group, table);
    }
  }
  const fs::path file = folder / "subgroups.csv";
  if (table.size() > 0)
    table.write(file);
  else
    fs::remove(file);  // of an earlier dataset
}

}  // namespace x2ctpa
