// Train, validation and test sets by patient.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// Shares of patients in train, val and test; they are scaled to sum to 1.
using SplitFractions = std::array<double, 3>;

/// Gives a split to every case whose `split` is empty.
///
/// Patients stay whole: a case follows its patient's given split where there is one. The other
/// patients are dealt within strata (a positive case, only negative cases, no label known), in an
/// order that depends on `seed` and the patient ids alone, so that each stratum and the whole set
/// come within one patient of the fractions.
/// Throws Error for a patient given two splits, for an unknown split name and for fractions that
/// are negative or all zero.
void assign_splits(std::vector<Case>& cases, const SplitFractions& fractions, int64_t seed);

}  // namespace x2ctpa
