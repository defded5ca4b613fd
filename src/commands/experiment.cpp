#include "x2ctpa/commands/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void Experiment::describe(OptionList& options) {
  options.section("runtime", runtime);
  options.section("phantom", phantom);
  options.section("preprocess", preprocess);
  options.section("vae", vae);
  options.section("diffusion", diffusion);
  options.section("sample", sample);
  options.section("classifier", classifier);
  options.section("evaluate", evaluate);
}

std::filesystem::path find_experiment_file(const std::string& name) {
  namespace fs = std::filesystem;
  const bool is_name = name.find_first_of("/.") == std::string::npos;
  if (!is_name || fs::is_regular_file(name)) return name;
  const fs::path prefix = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  const fs::path shipped = prefix / "share/x2ctpa/configs";
  if (fs::is_regular_file(shipped / (name + ".yaml"))) return shipped / (name + ".yaml");
  std::set<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(shipped, none)) {
    names.insert(entry.path().stem().string());
  }
  if (names.empty()) return name;  // reading it says that it is not there
  throw Error(fmt::format("--config {}: there is no such file, and no experiment of that name "
                          "comes with the program; "
                          "these do: {}",
                          name, fmt::join(names, ", ")),
              ExitCode::no_data);
}

std::string options_reference() {
  Experiment defaults;
  OptionList options;
  defaults.describe(options);
  std::string text =
      "# Options\n\n"
      "Every option is a flag (`--preprocess.grid 24,48,48`) and a key of an experiment file\n"
      "(`grid` in the section `preprocess`); later files and flags win. `scripts/update_docs.sh`\n"
      "makes this page from the program.\n";
  std::string last;
  for (const Option& option : options.all()) {
    const std::string section = option.key.substr(0, option.key.find('.'));
    if (section == last) continue;
    last = section;
    text += fmt::format("\n## {}\n\n{}", section, options.to_markdown(section));
  }
  return text;
}

}  // namespace x2ctpa
