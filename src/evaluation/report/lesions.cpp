// What is told of clots: a part of metrics.json, a table, pictures.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"
#include "x2ctpa/core/base64.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

ordered_json values_json(const std::array<Distribution, lesion::count>& values) {
  ordered_json out = ordered_json::object();
  for (int i = 0; i < lesion::count; ++i) out[lesion_keys[i]] = distribution_json(values[i]);
  return out;
}

ordered_json group_json(const LesionGroup& group) {
  ordered_json out = {{"cases", group.cases}, {"truth", values_json(group.truth)}};
  for (int s = 0; s < source::count; ++s) out[source_keys[s]] = values_json(group.sources[s]);
  return out;
}

// From the largest to the smallest, evenly spread.
std::vector<const LesionCase*> shown_lesions(const Evaluation& evaluation) {
  std::vector<const LesionCase*> order, shown;
  for (const LesionCase& c : evaluation.images.lesions.cases) order.push_back(&c);
  std::stable_sort(order.begin(), order.end(),
                   [](const LesionCase* a, const LesionCase* b) { return a->ml > b->ml; });
  const int64_t total = int64_t(order.size());
  const int64_t count = std::min(total, evaluation.options.report_cases);
  for (int64_t k = 0; k < count; ++k)
    shown.push_back(order[size_t(count == 1 ? total / 2 : k * (total - 1) / (count - 1))]);
  return shown;
}

std::string cell(double value) {
  return std::isnan(value) ? std::string() : fmt::format("{:.10g}", value);
}

}  // namespace

ordered_json lesions_json(const Evaluation& evaluation) {
  const LesionEvaluation& lesions = evaluation.images.lesions;
  if (lesions.cases.empty()) return nullptr;
  ordered_json groups = ordered_json::object(), tests = ordered_json::object(),
               shown = ordered_json::array();
  for (const LesionGroup& group : lesions.groups) groups[group.name] = group_json(group);
  for (int value = 0; value < lesion::count; ++value) {
    for (const int s : source::baselines) {
      if (const auto& test = lesions.tests[value][s])
        tests[lesion_keys[value]][fmt::format("generated_against_{}", source_keys[s])] =
            test_json(*test);
    }
  }
  for (const LesionCase* c : shown_lesions(evaluation)) {
    const auto& made = c->values[source::generated];
    shown.push_back({{"case", c->case_id},
                     {"ml", number_json(c->ml)},
                     {"place", c->central ? "central" : "peripheral"},
                     {"contrast_hu", number_json(c->truth[lesion::contrast])},
                     {"generated_contrast_hu",
                      made ? number_json((*made)[lesion::contrast]) : ordered_json(nullptr)}});
  }
  return {{"protocol", "x2ctpa/1"},
          {"cases", lesions.cases.size()},
          {"small_below_ml", number_json(lesions.small_below_ml)},
          {"large_from_ml", number_json(lesions.large_from_ml)},
          {"groups", groups},
          {"tests", tests},
          {"shown_cases", shown}};
}

ordered_json lesion_pictures(const Evaluation& evaluation) {
  ordered_json pictures = ordered_json::array();
  const auto png = [](const at::Tensor& picture) {
    return picture.defined() ? ordered_json(base64(png8_bytes(picture.to(at::kFloat) / 255)))
                             : ordered_json(nullptr);
  };
  for (const LesionCase* c : shown_lesions(evaluation)) {
    const LesionPicture& p = c->picture;
    pictures.push_back({{"aspect", p.aspect},
                        {"truth", png(p.truth)},
                        {"autoencoder", png(p.autoencoder)},
                        {"generated", png(p.generated)},
                        {"clot", png(p.clot)}});
  }
  return pictures;
}

CsvTable lesion_table(const Evaluation& evaluation) {
  std::vector<std::string> columns{"case_id", "patient_id", "ml", "size", "place", "source"};
  columns.insert(columns.end(), lesion_keys.begin(), lesion_keys.end());
  CsvTable table(columns);
  for (const LesionCase& c : evaluation.images.lesions.cases) {
    const auto add = [&](const char* source, const LesionValues& values) {
      std::vector<std::string> row{
          c.case_id, c.patient_id, cell(c.ml), c.size, c.central ? "central" : "peripheral",
          source};
      for (const double value : values) row.push_back(cell(value));
      table.add(row);
    };
    add("truth", c.truth);
    for (int s = 0; s < source::count; ++s) {
      if (c.values[s]) add(source_keys[s], *c.values[s]);
    }
  }
  return table;
}

}  // namespace x2ctpa
