// x2ctpa info: what an artefact is, or what this program runs on.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands/info/describe_path.h"
#include "x2ctpa/commands/command.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

bool is_flat(const ordered_json& json) {
  return !json.is_structured() || json.empty() ||
         (json.is_array() && std::none_of(json.begin(), json.end(), [](const ordered_json& item) {
            return item.is_structured() && !item.empty() && item.is_object();
          }));
}

std::string flat_text(const ordered_json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_null()) return "unknown";
  if (json.is_boolean()) return json.get<bool>() ? "yes" : "no";
  if (json.is_number_float()) return fmt::format("{:.6g}", json.get<double>());
  if (!json.is_array()) return json.empty() ? "none" : json.dump();
  if (json.empty()) return "none";
  std::string text;
  for (const ordered_json& item : json) text += (text.empty() ? "" : ", ") + flat_text(item);
  return text;
}

// The JSON as indented "key: value" lines.
void print_text(const ordered_json& json, const std::string& indent, std::ostream& out) {
  for (const auto& [key, value] : json.items()) {
    const std::string label = json.is_array() ? "-" : key + ":";
    if (is_flat(value)) {
      out << indent << label << " " << flat_text(value) << "\n";
    } else {
      out << indent << label << "\n";
      print_text(value, indent + "  ", out);
    }
  }
}

class InfoCommand : public Command {
 public:
  std::string name() const override { return "info"; }
  std::string help() const override {
    return "Say what a dataset, DICOM folder, volume, X-ray, model or run is.";
  }
  std::vector<std::string> sections() const override { return {}; }
  std::vector<std::string> examples() const override {
    return {"x2ctpa info runs/demo", "x2ctpa info scan.nii.gz --json"};
  }

  void add_flags(CLI::App& app) override {
    app.add_option("path", path_, "Folder or file; none: this program and machine.")
        ->type_name("PATH");
    app.add_flag("--json", json_, "One JSON object.");
    app.add_flag("--options", options_, "Print the reference of all options.")->group("");
  }

  ExitCode run(CommandContext& context) override {
    if (options_) {
      std::cout << options_reference();
      return ExitCode::ok;
    }
    const ordered_json json = path_.empty() ? describe_program() : describe_path(path_);
    if (json_) {
      // Headers may hold bytes that are no UTF-8.
      std::cout << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
    } else {
      print_text(json, "", std::cout);
    }
    return ExitCode::ok;
  }

 private:
  std::string path_;
  bool json_ = false, options_ = false;
};

}  // namespace

std::unique_ptr<Command> make_info_command() { return std::make_unique<InfoCommand>(); }

}  // namespace x2ctpa
