#include "x2ctpa/metrics/classification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "metrics/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

ClassCounts check_scores(std::span<const int> labels, std::span<const double> scores) {
  if (labels.size() != scores.size()) {
    throw Error(fmt::format("scores: expected one per label, found {} labels and {} scores",
                            labels.size(), scores.size()));
  }
  if (labels.empty()) throw Error("scores: there are no cases", ExitCode::no_data);
  ClassCounts counts;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != 0 && labels[i] != 1) {
      throw Error(fmt::format("scores: expected labels 0 or 1, found {} at case {}", labels[i], i));
    }
    if (!std::isfinite(scores[i])) {
      throw Error(fmt::format("scores: expected finite scores, found {} at case {}", scores[i], i));
    }
    (labels[i] ? counts.positive : counts.negative) += 1;
  }
  return counts;
}

ClassCounts check_two_classes(std::span<const int> labels, std::span<const double> scores) {
  const ClassCounts counts = check_scores(labels, scores);
  if (counts.positive == 0 || counts.negative == 0) {
    throw Error(
        fmt::format("scores: expected cases of both classes, found {} positive and {} negative",
                    counts.positive, counts.negative),
        ExitCode::no_data);
  }
  return counts;
}

std::vector<int64_t> ascending_order(std::span<const double> values) {
  std::vector<int64_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t i, int64_t j) { return values[i] < values[j]; });
  return order;
}

std::vector<double> midranks(std::span<const double> values) {
  const std::vector<int64_t> order = ascending_order(values);
  std::vector<double> ranks(values.size());
  for (size_t first = 0; first < order.size();) {
    size_t last = first;
    while (last + 1 < order.size() && values[order[last + 1]] == values[order[first]]) ++last;
    for (size_t k = first; k <= last; ++k) ranks[order[k]] = 0.5 * double(first + last) + 1;
    first = last + 1;
  }
  return ranks;
}

double normal_two_sided_p(double z) { return std::erfc(std::abs(z) / std::sqrt(2.0)); }

double brier_score(std::span<const int> labels, std::span<const double> scores) {
  check_scores(labels, scores);
  double sum = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (scores[i] < 0 || scores[i] > 1) {
      throw Error(
          fmt::format("Brier score: expected probabilities in [0, 1], found {}", scores[i]));
    }
    sum += (scores[i] - labels[i]) * (scores[i] - labels[i]);
  }
  return sum / double(labels.size());
}

Proportion wilson_proportion(int64_t successes, int64_t total) {
  Proportion result;
  result.successes = successes;
  result.total = total;
  if (total == 0) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    result.value = nan;
    result.interval = {nan, nan};
    return result;
  }
  const double n = double(total), p = double(successes) / n, z2 = normal975 * normal975;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = normal975 / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  result.value = p;
  result.interval = {std::max(0.0, centre - half), std::min(1.0, centre + half)};
  return result;
}

Proportion Confusion::accuracy() const {
  return wilson_proportion(true_positive + true_negative,
                           true_positive + true_negative + false_positive + false_negative);
}
Proportion Confusion::sensitivity() const {
  return wilson_proportion(true_positive, true_positive + false_negative);
}
Proportion Confusion::specificity() const {
  return wilson_proportion(true_negative, true_negative + false_positive);
}
Proportion Confusion::positive_predictive_value() const {
  return wilson_proportion(true_positive, true_positive + false_positive);
}
Proportion Confusion::negative_predictive_value() const {
  return wilson_proportion(true_negative, true_negative + false_negative);
}

Confusion confusion_at(std::span<const int> labels, std::span<const double> scores,
                       double threshold) {
  check_scores(labels, scores);
  Confusion counts;
  for (size_t i = 0; i < labels.size(); ++i) {
    const bool called = scores[i] >= threshold;
    if (labels[i]) {
      (called ? counts.true_positive : counts.false_negative) += 1;
    } else {
      (called ? counts.false_positive : counts.true_negative) += 1;
    }
  }
  return counts;
}

}  // namespace x2ctpa
