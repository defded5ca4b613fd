#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "metrics/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/classification.h"

#include <fmt/format.h>

namespace x2ctpa {
namespace {

// SplitMix64: the distributions of <random> differ between standard libraries, this does not.
class Draw {
 public:
  explicit Draw(uint64_t seed) : state_(seed) {}
  // Uniform in [0, n), by the high half of a product; the bias is below n / 2^64.
  uint64_t below(uint64_t n) {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return uint64_t((static_cast<unsigned __int128>(z) * n) >> 64);
  }

 private:
  uint64_t state_;
};

// Cases in ascending order of score, with what a resample needs of them.
struct SortedCase {
  int64_t patient;
  bool positive, ends_tie;
};

constexpr size_t band_points = 51;

// Mann-Whitney with the number of times each patient was drawn, and the sensitivity at each false
// positive rate of the band. Walking up the scores, (negatives passed, positives passed) runs along
// the ROC curve from (1, 1) to (0, 0). NaN for one class only.
double weighted_auc(const std::vector<SortedCase>& cases, const std::vector<int64_t>& times,
                    double* sensitivities) {
  double all_positives = 0, all_negatives = 0;
  for (const SortedCase& c : cases) {
    (c.positive ? all_positives : all_negatives) += double(times[c.patient]);
  }
  if (all_positives == 0 || all_negatives == 0) return std::nan("");
  double wins = 0, negatives = 0, positives = 0, tied_positive = 0, tied_negative = 0;
  sensitivities[band_points - 1] = 1;
  size_t point = 1;  // of the band, counted from false positive rate 1 downwards
  for (const SortedCase& c : cases) {
    (c.positive ? tied_positive : tied_negative) += double(times[c.patient]);
    if (!c.ends_tie) continue;
    wins += tied_positive * (negatives + 0.5 * tied_negative);
    for (; point < band_points; ++point) {
      const double passed = double(point) / double(band_points - 1) * all_negatives;
      if (tied_negative == 0 || passed > negatives + tied_negative + 1e-9 * all_negatives) break;
      const double missed = positives + tied_positive * (passed - negatives) / tied_negative;
      sensitivities[band_points - 1 - point] = 1 - missed / all_positives;
    }
    negatives += tied_negative;
    positives += tied_positive;
    tied_positive = tied_negative = 0;
  }
  return wins / (positives * negatives);
}

double percentile(const std::vector<double>& ascending, double q) {
  const double position = q * double(ascending.size() - 1);
  const size_t below = size_t(position), above = std::min(below + 1, ascending.size() - 1);
  return ascending[below] + (position - double(below)) * (ascending[above] - ascending[below]);
}

Interval middle_95(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return {percentile(values, 0.025), percentile(values, 0.975)};
}

double standard_deviation(const std::vector<double>& values) {
  const double n = double(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return n > 1 ? std::sqrt(squares / (n - 1)) : std::nan("");
}

}  // namespace

BootstrapAuc bootstrap_auc(std::span<const int> labels, std::span<const double> scores,
                           std::span<const std::string> patients, int64_t resamples, int64_t seed) {
  check_two_classes(labels, scores);
  if (patients.size() != labels.size()) {
    throw Error(fmt::format("bootstrap: expected one patient per case, found {} for {} cases",
                            patients.size(), labels.size()));
  }
  if (resamples < 1)
    throw Error(fmt::format("bootstrap: expected 1 or more resamples, found {}", resamples));

  std::map<std::string, int64_t> number;
  for (const auto& patient : patients) number.emplace(patient, int64_t(number.size()));
  std::vector<char> has_positive(number.size(), 0);
  std::vector<SortedCase> cases;
  const std::vector<int64_t> order = ascending_order(scores);
  for (size_t k = 0; k < order.size(); ++k) {
    const int64_t i = order[k], patient = number.at(patients[i]);
    has_positive[patient] |= char(labels[i]);
    cases.push_back(
        {patient, labels[i] == 1, k + 1 == order.size() || scores[order[k + 1]] != scores[i]});
  }
  std::vector<std::vector<int64_t>> strata(2);
  for (size_t patient = 0; patient < number.size(); ++patient) {
    strata[has_positive[patient]].push_back(int64_t(patient));
  }

  Draw draw(stream_seed(seed, "bootstrap"));
  std::vector<double> areas, sensitivities(band_points);
  std::vector<std::vector<double>> band(band_points);
  std::vector<int64_t> times(number.size());
  for (int64_t r = 0; r < resamples; ++r) {
    std::fill(times.begin(), times.end(), 0);
    for (const auto& stratum : strata) {
      for (size_t k = 0; k < stratum.size(); ++k) ++times[stratum[draw.below(stratum.size())]];
    }
    const double area = weighted_auc(cases, times, sensitivities.data());
    if (!std::isfinite(area)) continue;
    areas.push_back(area);
    for (size_t k = 0; k < band_points; ++k) band[k].push_back(sensitivities[k]);
  }
  if (areas.empty()) throw Error("bootstrap: no resample held both classes", ExitCode::no_data);
  const double spread = standard_deviation(areas);
  BootstrapAuc result{middle_95(areas), int64_t(areas.size()), int64_t(number.size()), spread, {}};
  for (size_t k = 0; k < band_points; ++k) {
    result.band.push_back({double(k) / double(band_points - 1), middle_95(band[k])});
  }
  return result;
}

}  // namespace x2ctpa
