// Which volumes are compared with the true one, and how numbers over cases are summarised.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa {

/// Which volume is compared with the true one.
namespace source {
enum Index : int { generated, wrong_cxr, mean_volume, regression, autoencoder, count };
// What the generated volume is tested against: two baselines, and what two parts of its own model
// make alone. Each pair is a family of tests by itself.
inline constexpr std::array baselines{wrong_cxr, mean_volume};
inline constexpr std::array references{regression, autoencoder};
}  // namespace source
inline constexpr std::array<const char*, source::count> source_keys{
    "generated", "wrong_cxr", "mean_volume", "regression", "autoencoder"};

struct Distribution {
  int64_t n = 0;
  double mean = 0, sd = 0, median = 0, q1 = 0, q3 = 0, min = 0, max = 0;
};
Distribution distribution_of(std::vector<double> values);

/// With fewer pairs no p reaches 0.05, whatever they are: a test of them has none.
inline constexpr int64_t fewest_pairs = 6;
/// The Wilcoxon signed-rank test of `own` - `other`; p is NaN below fewest_pairs, and the method
/// says so.
WilcoxonResult paired_test(std::span<const double> own, std::span<const double> other);

struct BaselineTest {
  WilcoxonResult wilcoxon;  ///< generated - baseline
  double p_holm = 1;
};
/// Sets p_holm of tests that are one family.
void correct_by_holm(const std::vector<BaselineTest*>& tests);

}  // namespace x2ctpa
