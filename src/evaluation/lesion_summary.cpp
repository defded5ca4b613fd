#include "evaluation/lesion_summary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace x2ctpa {
namespace {

using InGroup = std::function<bool(const LesionCase&)>;

Distribution distribution_over(const std::vector<LesionCase>& cases, const InGroup& in_group,
                               const std::function<double(const LesionCase&)>& value_of) {
  std::vector<double> values;
  for (const LesionCase& c : cases) {
    const double value = in_group(c) ? value_of(c) : std::nan("");
    if (!std::isnan(value)) values.push_back(value);
  }
  return distribution_of(std::move(values));
}

double value_in(const LesionCase& c, int source, int value) {
  return c.values[source] ? (*c.values[source])[value] : std::nan("");
}

LesionGroup group_of(const LesionEvaluation& lesions, const std::string& name,
                     const InGroup& in_group) {
  LesionGroup group;
  group.name = name;
  group.cases = std::count_if(lesions.cases.begin(), lesions.cases.end(), in_group);
  for (int value = 0; value < lesion::count; ++value) {
    group.truth[value] = distribution_over(lesions.cases, in_group,
                                           [&](const LesionCase& c) { return c.truth[value]; });
    for (int source = 0; source < source::count; ++source) {
      group.sources[source][value] = distribution_over(
          lesions.cases, in_group, [&](const LesionCase& c) { return value_in(c, source, value); });
    }
  }
  return group;
}

void name_sizes(LesionEvaluation& lesions) {
  std::vector<double> sizes;
  for (const LesionCase& c : lesions.cases) sizes.push_back(c.ml);
  std::sort(sizes.begin(), sizes.end());
  lesions.small_below_ml = sizes[sizes.size() / 3];
  lesions.large_from_ml = sizes[2 * sizes.size() / 3];
  for (LesionCase& c : lesions.cases) {
    c.size = c.ml < lesions.small_below_ml  ? "small"
             : c.ml < lesions.large_from_ml ? "medium"
                                            : "large";
  }
}

void add_tests(LesionEvaluation& lesions) {
  std::vector<BaselineTest*> tests;
  for (const int value : {lesion::preserved, lesion::detectability, lesion::dice}) {
    for (const int source : source::baselines) {
      std::vector<double> own, baseline;
      for (const LesionCase& c : lesions.cases) {
        const double a = value_in(c, source::generated, value), b = value_in(c, source, value);
        if (std::isnan(a) || std::isnan(b)) continue;
        own.push_back(a);
        baseline.push_back(b);
      }
      if (own.empty()) continue;
      auto& test = lesions.tests[value][source];
      test = BaselineTest{paired_test(own, baseline)};
      tests.push_back(&*test);
    }
  }
  correct_by_holm(tests);
}

}  // namespace

void summarise_lesions(LesionEvaluation& lesions) {
  if (lesions.cases.empty()) return;
  name_sizes(lesions);
  lesions.groups.push_back(group_of(lesions, "all", [](const LesionCase&) { return true; }));
  for (const char* size : {"small", "medium", "large"}) {
    lesions.groups.push_back(
        group_of(lesions, size, [&](const LesionCase& c) { return c.size == size; }));
  }
  lesions.groups.push_back(
      group_of(lesions, "central", [](const LesionCase& c) { return c.central; }));
  lesions.groups.push_back(
      group_of(lesions, "peripheral", [](const LesionCase& c) { return !c.central; }));
  add_tests(lesions);
}

}  // namespace x2ctpa
