#include "x2ctpa/commands/experiment.h"

#include <fmt/format.h>

#include <string>

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
