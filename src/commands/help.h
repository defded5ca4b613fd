// What `--help` and `--help-all` show.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace x2ctpa {

/// Options of the experiment that `--help` shows too.
inline constexpr const char* common_group = "Settings";

/// Wrapped to the terminal (COLUMNS, else its own width, else 80 columns). Options of other groups
/// than common_group and CLI11's own stand in `--help-all`.
class HelpFormatter : public CLI::FormatterBase {
 public:
  explicit HelpFormatter(std::vector<std::string> examples) : examples_(std::move(examples)) {}

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;

 private:
  std::vector<std::string> examples_;  // lines as they are typed
};

}  // namespace x2ctpa
