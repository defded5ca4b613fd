#include "x2ctpa/metrics/rater_agreement.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

double cohen_kappa(std::span<const int64_t> first, std::span<const int64_t> second,
                   bool quadratic) {
  if (first.size() != second.size() || first.empty()) {
    throw Error(fmt::format("Cohen's kappa: expected pairs of ratings, found {} and {}",
                            first.size(), second.size()));
  }
  const auto disagreement = [&](int64_t a, int64_t b) {
    return quadratic ? double((a - b) * (a - b)) : double(a != b);
  };
  std::map<int64_t, double> of_first, of_second;
  double observed = 0, expected = 0;
  for (size_t i = 0; i < first.size(); ++i) {
    ++of_first[first[i]];
    ++of_second[second[i]];
    observed += disagreement(first[i], second[i]);
  }
  for (const auto& [a, times_a] : of_first) {
    for (const auto& [b, times_b] : of_second) {
      expected += times_a * times_b / double(first.size()) * disagreement(a, b);
    }
  }
  return expected == 0 ? std::nan("") : 1 - observed / expected;
}

double fleiss_kappa(const std::vector<std::vector<int64_t>>& ratings) {
  if (ratings.empty() || ratings[0].size() < 2)
    throw Error("Fleiss' kappa: expected cases with 2 or more ratings each");
  const double readers = double(ratings[0].size()), cases = double(ratings.size());
  std::map<int64_t, double> totals;
  double observed = 0;
  for (const auto& row : ratings) {
    if (row.size() != ratings[0].size()) {
      throw Error(fmt::format("Fleiss' kappa: expected {} ratings of each case, found {}",
                              ratings[0].size(), row.size()));
    }
    std::map<int64_t, double> counts;
    for (int64_t category : row) ++counts[category];
    for (const auto& [category, count] : counts) {
      totals[category] += count;
      observed += count * (count - 1) / (readers * (readers - 1)) / cases;
    }
  }
  double expected = 0;
  for (const auto& [category, count] : totals) {
    const double share = count / (readers * cases);
    expected += share * share;
  }
  return expected == 1 ? std::nan("") : (observed - expected) / (1 - expected);
}

}  // namespace x2ctpa
