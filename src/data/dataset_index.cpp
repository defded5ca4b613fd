#include "data/dataset_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/data/studies/manifest.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

const std::vector<std::string> index_columns = {"id", "patient_id", "split", "pe", "ct", "cxr"};
// Only where there are any.
constexpr const char *lateral_column = "cxr_lateral", *fold_column = "fold";

// Columns that a set may have of itself; the others are those of subgroups.
bool is_index_column(const std::string& name) {
  return name == fold_column || name == lateral_column ||
         std::find(index_columns.begin(), index_columns.end(), name) != index_columns.end();
}

// Ids become names of files, and a set that comes from others must not reach beyond its folder.
void check_names(const Case& c, const std::string& file) {
  if (c.id.empty() || safe_id(c.id) != c.id)
    throw Error(fmt::format("{}: case '{}': its id is no safe name of a file; run preprocess again",
                            file, c.id));
  for (const fs::path path : {c.ct, c.cxr, c.cxr_lateral}) {
    const fs::path normal = path.lexically_normal();
    if (path.is_absolute() || (!normal.empty() && *normal.begin() == ".."))
      throw Error(fmt::format("{}: case {}: {} lies outside of the dataset's folder", file, c.id,
                              path.string()));
  }
}

}  // namespace

std::optional<int64_t> parse_fold(const std::string& text, const std::string& where) {
  if (text.empty()) return {};
  if (text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos) {
    throw Error(fmt::format("{}: fold must be a number from 0 or empty, found '{}'", where, text));
  }
  return std::stoll(text);
}

CsvTable index_table(const std::vector<Case>& cases) {
  const bool folds =
      std::any_of(cases.begin(), cases.end(), [](const Case& c) { return c.fold.has_value(); });
  const bool laterals =
      std::any_of(cases.begin(), cases.end(), [](const Case& c) { return !c.cxr_lateral.empty(); });
  std::vector<std::string> columns = index_columns;
  if (laterals) columns.push_back(lateral_column);
  if (folds) columns.push_back(fold_column);
  std::set<std::string> groups;
  for (const Case& c : cases)
    for (const auto& [group, value] : c.groups) groups.insert(group);
  for (const auto& group : groups) {
    if (is_index_column(group))
      throw Error(
          fmt::format("preprocess.manifest.groups: {} is a column of index.csv already; "
                      "leave it out",
                      group));
    columns.push_back(group);
  }
  CsvTable table(columns);
  for (const Case& c : cases) {
    std::vector<std::string> row = {c.id, c.patient_id, c.split, c.pe ? std::to_string(*c.pe) : "",
                                    c.ct, c.cxr};
    if (laterals) row.push_back(c.cxr_lateral);
    if (folds) row.push_back(c.fold ? std::to_string(*c.fold) : "");
    for (const auto& group : groups) {
      const auto found = c.groups.find(group);
      row.push_back(found == c.groups.end() ? "" : found->second);
    }
    table.add(std::move(row));
  }
  return table;
}

std::vector<Case> cases_from_table(const CsvTable& table, const std::string& file) {
  table.require_columns(index_columns);
  std::vector<Case> cases;
  for (size_t row = 0; row < table.size(); ++row) {
    Case c{table.at(row, "id"), table.at(row, "patient_id"), table.at(row, "split"), {},
           table.at(row, "ct"), table.at(row, "cxr")};
    c.cxr_lateral = table.get(row, lateral_column);
    check_names(c, file);
    const std::string& pe = table.at(row, "pe");
    if (pe != "" && pe != "0" && pe != "1") {
      throw Error(fmt::format("{}: case {}: pe must be 0, 1 or empty, found '{}'", file, c.id, pe));
    }
    if (!pe.empty()) c.pe = pe == "1";
    if (c.split != "train" && c.split != "val" && c.split != "test") {
      throw Error(fmt::format("{}: case {}: split must be train, val or test, found '{}'", file,
                              c.id, c.split));
    }
    c.fold = parse_fold(table.get(row, fold_column), fmt::format("{}: case {}", file, c.id));
    for (const auto& column : table.columns())
      if (!is_index_column(column)) c.groups[column] = table.at(row, column);
    cases.push_back(std::move(c));
  }
  return cases;
}

}  // namespace x2ctpa
