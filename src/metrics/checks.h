// Checks and orders shared by the classification statistics.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace x2ctpa {

struct ClassCounts {
  int64_t positive = 0, negative = 0;
};

/// Counts both classes after the checks that classification.h promises.
ClassCounts check_scores(std::span<const int> labels, std::span<const double> scores);

/// The same, and both classes must be there.
ClassCounts check_two_classes(std::span<const int> labels, std::span<const double> scores);

/// Indices of `values` in ascending order (stable).
std::vector<int64_t> ascending_order(std::span<const double> values);

/// Ranks from 1, ties sharing the mean of theirs.
std::vector<double> midranks(std::span<const double> values);

/// The standard normal distribution.
double normal_two_sided_p(double z);
inline constexpr double normal975 = 1.959963984540054;

}  // namespace x2ctpa
