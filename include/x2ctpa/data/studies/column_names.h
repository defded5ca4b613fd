// Names of the columns of tables that users make: those that are nearly right, and those not read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"

namespace x2ctpa {

/// The columns of a table that are none of the known ones.
struct OtherColumns {
  std::vector<std::string> unread;  ///< those that look like none that is missing
  std::string doubts;               ///< a sentence on those that do; empty: none
};

/// Brings the columns to the names of `known`, whatever case they are given in, and looks at the
/// others: the known columns that the table lacks may be meant by them.
OtherColumns settle_names(CsvTable& table, const std::vector<std::string>& known);

/// Warns of the doubts and lists the columns of `file` that are not read, if there are any.
void tell_of(const OtherColumns& others, const std::filesystem::path& file);

}  // namespace x2ctpa
