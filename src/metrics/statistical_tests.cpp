#include "x2ctpa/metrics/statistical_tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "metrics/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

// P(rank sum <= statistic) x 2 over all 2^n sign patterns, by counting the subsets of {1..n} of
// each sum. Doubles hold the counts: 2^50 is exact.
double exact_signed_rank_p(int64_t n, double statistic) {
  const int64_t largest = n * (n + 1) / 2;
  std::vector<double> ways(largest + 1, 0);
  ways[0] = 1;
  for (int64_t rank = 1; rank <= n; ++rank) {
    for (int64_t sum = largest; sum >= rank; --sum) ways[sum] += ways[sum - rank];
  }
  const double below =
      std::accumulate(ways.begin(), ways.begin() + int64_t(std::llround(statistic)) + 1, 0.0);
  return std::min(1.0, 2 * below * std::exp2(-double(n)));
}

// Sum of t^3 - t over groups of equal values.
double tie_term(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (size_t first = 0; first < values.size();) {
    size_t end = first;
    while (end < values.size() && values[end] == values[first]) ++end;
    const double t = double(end - first);
    sum += t * t * t - t;
    first = end;
  }
  return sum;
}

double approximate_signed_rank_p(double n, double statistic, double ties) {
  const double mean = n * (n + 1) / 4;
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48;
  return normal_two_sided_p((statistic - mean) / std::sqrt(variance));
}

// P(D >= h / lcm): a random path from (0, 0) to (m, n) leaves the band |i n - j m| < h g. The mass
// that leaves is summed, so small p values keep their digits.
double exact_ks_p(int64_t m, int64_t n, int64_t band) {
  std::vector<double> reach(n + 1, 0);  // of column i, paths that have not left
  double left = 0;
  for (int64_t i = 0; i <= m; ++i) {
    for (int64_t j = 0; j <= n; ++j) {
      const double remaining_before = double(m + n - i - j + 1);
      double mass = i == 0 && j == 0 ? 1 : 0;
      if (i > 0) mass += reach[j] * double(m - i + 1) / remaining_before;
      if (j > 0) mass += reach[j - 1] * double(n - j + 1) / remaining_before;
      if (std::abs(i * n - j * m) >= band) {
        left += mass;
        mass = 0;
      }
      reach[j] = mass;
    }
  }
  return std::min(1.0, left);
}

double limiting_ks_p(double m, double n, double statistic) {
  const double x = std::sqrt(m * n / (m + n)) * statistic;
  double sum = 0;
  for (int k = 1; k <= 100; ++k) sum += (k % 2 ? 2 : -2) * std::exp(-2.0 * k * k * x * x);
  return x < 0.2 ? 1 : std::clamp(sum, 0.0, 1.0);
}

std::vector<double> sorted_sample(std::span<const double> values, const char* test) {
  if (values.empty()) throw Error(fmt::format("{}: a sample is empty", test), ExitCode::no_data);
  std::vector<double> sorted(values.begin(), values.end());
  for (double v : sorted) {
    if (std::isnan(v)) throw Error(fmt::format("{}: a sample holds NaN", test));
  }
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace

double median(std::span<const double> values) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  if (sorted.size() % 2 || sorted[middle - 1] == sorted[middle]) return sorted[middle];
  return 0.5 * (sorted[middle - 1] + sorted[middle]);
}

WilcoxonResult wilcoxon_signed_rank(std::span<const double> first, std::span<const double> second) {
  if (first.size() != second.size() || first.empty()) {
    throw Error(fmt::format("Wilcoxon test: expected pairs, found {} and {} values", first.size(),
                            second.size()));
  }
  WilcoxonResult result;
  result.pairs = int64_t(first.size());
  std::vector<double> all, sizes;
  std::vector<char> up;
  for (size_t i = 0; i < first.size(); ++i) {
    const double difference = first[i] == second[i] ? 0 : first[i] - second[i];
    if (std::isnan(difference)) throw Error("Wilcoxon test: a pair holds NaN");
    all.push_back(difference);
    if (difference == 0) continue;
    sizes.push_back(std::abs(difference));
    up.push_back(difference > 0);
  }
  result.zeros = result.pairs - int64_t(sizes.size());
  result.median_difference = median(all);
  if (sizes.empty()) {
    result.method = "every pair is equal";
    return result;
  }
  const std::vector<double> ranks = midranks(sizes);
  double rank_sum_up = 0, rank_sum_down = 0;
  for (size_t i = 0; i < ranks.size(); ++i) (up[i] ? rank_sum_up : rank_sum_down) += ranks[i];
  result.statistic = std::min(rank_sum_up, rank_sum_down);
  const double ties = tie_term(sizes);
  result.exact = result.pairs <= 50 && result.zeros == 0 && ties == 0;
  result.method = result.exact ? "exact" : "normal approximation, tie-corrected, zeros left out";
  result.p = result.exact ? exact_signed_rank_p(result.pairs, result.statistic)
                          : approximate_signed_rank_p(double(sizes.size()), result.statistic, ties);
  return result;
}

KolmogorovSmirnovResult kolmogorov_smirnov(std::span<const double> a, std::span<const double> b) {
  const char* test = "Kolmogorov-Smirnov test";
  const std::vector<double> x = sorted_sample(a, test), y = sorted_sample(b, test);
  const int64_t m = int64_t(x.size()), n = int64_t(y.size());
  int64_t i = 0, j = 0, largest = 0;  // the distance times m n, in integers: no rounding
  while (i < m && j < n) {
    const double value = std::min(x[i], y[j]);
    while (i < m && x[i] <= value) ++i;
    while (j < n && y[j] <= value) ++j;
    largest = std::max(largest, std::abs(i * n - j * m));
  }
  KolmogorovSmirnovResult result;
  result.statistic = double(largest) / (double(m) * double(n));
  result.exact = double(m) * double(n) <= 1e8;
  result.p = largest == 0   ? 1
             : result.exact ? exact_ks_p(m, n, largest)
                            : limiting_ks_p(double(m), double(n), result.statistic);
  return result;
}

std::vector<double> holm_adjusted(std::span<const double> p_values) {
  std::vector<double> adjusted(p_values.begin(), p_values.end());
  std::vector<int64_t> order;
  for (size_t i = 0; i < adjusted.size(); ++i) {
    if (!std::isnan(adjusted[i])) order.push_back(int64_t(i));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](auto i, auto j) { return p_values[i] < p_values[j]; });
  double running = 0;
  for (size_t k = 0; k < order.size(); ++k) {
    running = std::max(running, double(order.size() - k) * p_values[order[k]]);
    adjusted[order[k]] = std::min(1.0, running);
  }
  return adjusted;
}

}  // namespace x2ctpa
