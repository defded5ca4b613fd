// Train, validation and test sets, and folds, by patient.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
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

/// Deals every case outside "test" into `folds` folds for cross-validation, by patient and within
/// the same strata; folds given before are kept. Then `split` is that of fold 0: "val" for its
/// cases, "train" for those of the others. Every split must have been assigned; "train" and "val"
/// are one pool here.
/// Throws Error for fewer than two folds and for fewer patients than folds.
void assign_folds(std::vector<Case>& cases, int64_t folds, int64_t seed);

/// A row of splits.csv.
struct SplitRow {
  std::string id, patient_id;  ///< one of them may be empty
  std::string split;
  std::optional<int64_t> fold;
};

/// Reads a CSV with the columns `split`, `id` or `patient_id` (or both) and, where there are folds,
/// `fold` (from 0; empty for the hold-out).
/// Throws Error naming file and row for a doubtful value, an id listed twice, or a patient in two
/// splits or folds.
std::vector<SplitRow> read_splits(const std::filesystem::path& file);

/// Looks at what is known of the splits before any case is made: those that `cases` have, or that
/// `rows` give them. Throws Error for a patient in two splits or folds.
void check_given_splits(const std::vector<SplitRow>& rows, std::vector<Case> cases);

/// Sets split and fold of every case from its row: that of its id, else of its patient. `source`
/// names the rows in messages.
/// Throws Error naming the cases that have none, and a patient who comes into two splits.
void apply_splits(const std::vector<SplitRow>& rows, const std::string& source,
                  std::vector<Case>& cases);

/// Writes id, patient_id, split and fold of every case, atomically.
void write_splits(const std::vector<Case>& cases, const std::filesystem::path& file);

}  // namespace x2ctpa
