// CSV tables with a header row (RFC 4180: double quotes, CR LF or LF, UTF-8). Tables are written
// with commas; of those that are read, semicolons or tabs may part the fields as well. Text that a
// spreadsheet would run as a formula is written behind an apostrophe, which reading takes off. Own
// code: Debian packages no C++ reader of them, and libcsv (C, callbacks for each field) would leave
// the lines of errors, the columns and the refusals to this class all the same.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace x2ctpa {

class CsvTable {
 public:
  CsvTable() = default;
  explicit CsvTable(std::vector<std::string> columns);

  /// Throws Error naming file and line for unbalanced quotes or a row of another length.
  static CsvTable read(const std::filesystem::path& file);
  static CsvTable parse(const std::string& text, const std::string& name);

  const std::vector<std::string>& columns() const { return columns_; }
  size_t size() const { return rows_.size(); }
  bool has_column(const std::string& column) const;

  /// The field of `row` under `column`. Throws Error naming the columns there are when absent.
  const std::string& at(size_t row, const std::string& column) const;
  /// The same, or `fallback` when the column is absent.
  std::string get(size_t row, const std::string& column, const std::string& fallback = {}) const;

  /// Gives the columns that are those of `known` but for case, or spaces around them, the names of
  /// `known`, unless the table has those too. Returns the columns that are none of `known`.
  std::vector<std::string> match_columns(const std::vector<std::string>& known);

  /// Adds a row; its length must equal the number of columns.
  void add(std::vector<std::string> row);

  std::string text() const;
  /// Writes atomically.
  void write(const std::filesystem::path& file) const;

  /// Throws Error when one of `required` is missing, naming the file and a column that may be it.
  void require_columns(const std::vector<std::string>& required) const;

 private:
  std::string name_;
  std::vector<std::string> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace x2ctpa
