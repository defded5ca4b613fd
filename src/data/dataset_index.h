// The table of a dataset's cases, index.csv.
#pragma once

#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// The cases as the rows of index.csv. Throws Error for a column of subgroups that has the name of
/// another.
CsvTable index_table(const std::vector<Case>& cases);

/// The cases of the rows; `file` is named in errors. Throws Error naming the case for an id that is
/// no safe name of a file, a path outside of the dataset's folder, and any other doubtful value.
std::vector<Case> cases_from_table(const CsvTable& table, const std::string& file);

}  // namespace x2ctpa
