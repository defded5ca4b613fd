#include "x2ctpa/core/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/options.h"

namespace x2ctpa {
namespace {

constexpr size_t npos = std::string::npos;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";  // which spreadsheets write

// True for text that a spreadsheet would run: what begins with a sign of formulas, behind any
// number of apostrophes, and is no number.
bool runs_in_spreadsheets(const std::string& field) {
  const size_t first = field.find_first_not_of('\'');
  if (first == std::string::npos || std::string_view("=+-@\t\r").find(field[first]) == npos)
    return false;
  const char* begin = field.data() + first + (field[first] == '+' ? 1 : 0);
  const char* end = field.data() + field.size();
  double number = 0;
  const auto result = std::from_chars(begin, end, number);
  return result.ec == std::errc::invalid_argument || result.ptr != end;
}

// Spreadsheets take what stands behind an apostrophe as text, and do not show the apostrophe. Text
// that has one already gets another, so that plain_text() gives back what was there.
std::string harmless(const std::string& field) {
  return runs_in_spreadsheets(field) ? '\'' + field : field;
}

std::string plain_text(std::string field) {
  if (field.starts_with('\'') && runs_in_spreadsheets(field)) field.erase(0, 1);
  return field;
}

// In a header, also what might be taken for another separator, or for a byte order mark.
std::string quoted(const std::string& field, bool in_header) {
  const bool doubtful =
      in_header && (field.find_first_of(";\t") != npos || field.starts_with(byte_order_mark));
  if (!doubtful && field.find_first_of(",\"\r\n") == npos) return field;
  std::string out = "\"";
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

// What parts the fields: the commonest of comma, semicolon and tab in the header.
char separator_of(const std::string& text) {
  bool in_quotes = false;
  std::array<int64_t, 3> counts{};
  constexpr std::string_view separators = ",;\t";
  for (const char c : text) {
    if (c == '"') in_quotes = !in_quotes;
    if (in_quotes) continue;
    if (c == '\n') break;
    if (const auto at = separators.find(c); at != std::string_view::npos) ++counts[at];
  }
  return separators[size_t(std::max_element(counts.begin(), counts.end()) - counts.begin())];
}

std::string lower_trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  std::string lower = first == std::string::npos ? "" : text.substr(first, last - first + 1);
  for (char& c : lower) c = char(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// The column that `wanted` may be meant by; empty: none.
std::string column_like(const std::string& wanted, const std::vector<std::string>& columns) {
  for (const auto& column : columns)
    if (lower_trimmed(column) == lower_trimmed(wanted)) return column;
  const std::string near = nearest_name(wanted, columns);
  // Any two short names are near each other.
  return !near.empty() && lower_trimmed(near).substr(0, 1) == lower_trimmed(wanted).substr(0, 1)
             ? near
             : "";
}

// The records of RFC 4180 text with the line each begins on.
std::vector<std::pair<int64_t, std::vector<std::string>>> parse_records(const std::string& text,
                                                                        const std::string& name) {
  const char separator = separator_of(text);
  std::vector<std::pair<int64_t, std::vector<std::string>>> records;
  std::vector<std::string> fields;
  std::string field;
  bool in_quotes = false, any = false;
  int64_t line = 1, record_line = 1;
  const auto end_record = [&] {
    if (any || !field.empty() || !fields.empty()) {
      fields.push_back(plain_text(std::move(field)));
      records.emplace_back(record_line, std::move(fields));
    }
    field.clear();
    fields.clear();
    any = false;
  };
  size_t i = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (in_quotes) {
      if (c != '"')
        field += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        field += text[++i];
      else
        in_quotes = false;
    } else if (c == '"' && field.empty()) {
      in_quotes = any = true;
    } else if (c == separator) {
      fields.push_back(plain_text(std::move(field)));
      field.clear();
      any = true;
    } else if (c == '\n') {
      end_record();
      record_line = line;
    } else if (c != '\r') {
      field += c;
    }
  }
  if (in_quotes)
    throw Error(fmt::format("{}: line {}: a quoted field is never closed", name, record_line));
  end_record();
  return records;
}

}  // namespace

CsvTable::CsvTable(std::vector<std::string> columns) : columns_(std::move(columns)) {}

CsvTable CsvTable::read(const std::filesystem::path& file) {
  return parse(read_file(file), file.string());
}

CsvTable CsvTable::parse(const std::string& text, const std::string& name) {
  auto records = parse_records(text, name);
  if (records.empty())
    throw Error(
        fmt::format("{}: expected a header row of column names, found an empty file", name));
  CsvTable table(std::move(records.front().second));
  table.name_ = name;
  for (size_t r = 1; r < records.size(); ++r) {
    auto& [line, fields] = records[r];
    if (fields.size() != table.columns_.size()) {
      throw Error(fmt::format("{}: line {}: expected {} fields as in the header, found {}", name,
                              line, table.columns_.size(), fields.size()));
    }
    table.rows_.push_back(std::move(fields));
  }
  return table;
}

bool CsvTable::has_column(const std::string& column) const {
  return std::find(columns_.begin(), columns_.end(), column) != columns_.end();
}

const std::string& CsvTable::at(size_t row, const std::string& column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end()) {
    throw Error(
        fmt::format("{}: no column \"{}\"; it has {}", name_, column, fmt::join(columns_, ", ")));
  }
  return rows_.at(row)[size_t(found - columns_.begin())];
}

std::string CsvTable::get(size_t row, const std::string& column,
                          const std::string& fallback) const {
  return has_column(column) ? at(row, column) : fallback;
}

std::vector<std::string> CsvTable::match_columns(const std::vector<std::string>& known) {
  std::vector<std::string> others;
  for (auto& column : columns_) {
    if (std::find(known.begin(), known.end(), column) != known.end()) continue;
    const auto same = std::find_if(known.begin(), known.end(), [&](const std::string& name) {
      return lower_trimmed(name) == lower_trimmed(column) && !has_column(name);
    });
    if (same != known.end())
      column = *same;
    else
      others.push_back(column);
  }
  return others;
}

void CsvTable::add(std::vector<std::string> row) {
  if (row.size() != columns_.size())
    throw std::logic_error("CsvTable::add: wrong number of fields");
  rows_.push_back(std::move(row));
}

std::string CsvTable::text() const {
  std::string out;
  const auto line = [&out](const std::vector<std::string>& fields, bool is_header) {
    // Without its quotes it would be an empty line, which is no row.
    if (fields.size() == 1 && fields[0].empty()) out += "\"\"";
    for (size_t i = 0; i < fields.size(); ++i)
      out += (i ? "," : "") + quoted(harmless(fields[i]), is_header);
    out += '\n';
  };
  line(columns_, true);
  for (const auto& row : rows_) line(row, false);
  return out;
}

void CsvTable::write(const std::filesystem::path& file) const { write_file(file, text()); }

void CsvTable::require_columns(const std::vector<std::string>& required) const {
  for (const auto& column : required) {
    if (has_column(column)) continue;
    const std::string near = column_like(column, columns_);
    throw Error(fmt::format("{}: the column \"{}\" is missing{}; found {}", name_, column,
                            near.empty() ? "" : fmt::format(" (is it \"{}\"?)", near),
                            fmt::join(columns_, ", ")));
  }
}

}  // namespace x2ctpa
