// Tests of differences: Wilcoxon signed-rank, two-sample Kolmogorov-Smirnov, Holm's correction.
// All p values are two-sided.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace x2ctpa {

struct WilcoxonResult {
  int64_t pairs = 0;             ///< all pairs
  int64_t zeros = 0;             ///< equal pairs, left out of the ranks (Wilcoxon's rule)
  double statistic = 0;          ///< the smaller of the two rank sums
  double p = 1;                  ///< 1 when every pair is equal
  double median_difference = 0;  ///< median of first - second over all pairs
  bool exact = false;
  std::string method;  ///< one statement: "exact" or "normal approximation, ..."
};

/// Paired test that first - second is symmetric about 0 (Wilcoxon 1945). Exact distribution for at
/// most 50 pairs without zeros and without ties among the absolute differences; otherwise normal
/// approximation with tie correction and no continuity correction (scipy.stats.wilcoxon with
/// method "exact" and "approx"). Equal infinities count as equal.
/// Throws Error for unequal lengths, no pairs or NaN.
WilcoxonResult wilcoxon_signed_rank(std::span<const double> first, std::span<const double> second);

struct KolmogorovSmirnovResult {
  double statistic = 0;  ///< largest distance of the two empirical distributions
  double p = 1;
  bool exact = false;
};

/// Exact p (paths in a lattice, Hodges 1958) while the product of the sizes is at most 1e8, else
/// Kolmogorov's limit distribution. With ties the p value is an upper bound.
/// Throws Error for an empty sample or NaN.
KolmogorovSmirnovResult kolmogorov_smirnov(std::span<const double> a, std::span<const double> b);

/// Holm's step-down adjusted p values (Holm 1979) in the order given. NaN stays NaN and does not
/// count as a test.
std::vector<double> holm_adjusted(std::span<const double> p_values);

/// Median of a sample; NaN for an empty one.
double median(std::span<const double> values);

}  // namespace x2ctpa
