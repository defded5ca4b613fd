#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/version.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

struct CommonFlags {
  std::vector<std::string> configs;
  std::string run = "runs/default";
  bool quiet = false, verbose = false;
};

std::vector<std::unique_ptr<Command>> all_commands() {
  std::vector<std::unique_ptr<Command>> commands;
  commands.push_back(make_phantom_command());
  commands.push_back(make_preprocess_command());
  commands.push_back(make_train_vae_command());
  commands.push_back(make_train_diffusion_command());
  commands.push_back(make_sample_command());
  commands.push_back(make_classify_command());
  commands.push_back(make_evaluate_command());
  commands.push_back(make_info_command());
  return commands;
}

// One command's parser, the flags it has seen and the context it fills.
struct BoundCommand {
  std::unique_ptr<Command> command;
  CLI::App* app = nullptr;
  CommonFlags flags;
  std::map<std::string, std::string> option_flags;  // dotted key -> text given
};

bool takes_section(const Command& command, const std::string& key) {
  const std::string section = key.substr(0, key.find('.'));
  const auto sections = command.sections();
  return section == "runtime" ||
         std::find(sections.begin(), sections.end(), section) != sections.end();
}

// ",--seed" for "runtime.seed", since the runtime's options concern every command; the same for
// a command's own section when it wants that; else nothing.
std::string short_flag(const Command& command, const std::string& key) {
  const std::string own = command.name() + ".";
  if (key.rfind("runtime.", 0) == 0) return ",--" + key.substr(8);
  if (!command.short_flags() || key.rfind(own, 0) != 0 ||
      key.find('.', own.size()) != std::string::npos)
    return "";
  std::string flag = key.substr(own.size());
  std::replace(flag.begin(), flag.end(), '_', '-');
  return ",--" + flag;
}

void bind(BoundCommand& bound, CLI::App& program, const OptionList& options) {
  bound.app = program.add_subcommand(bound.command->name(), bound.command->help());
  CLI::App& app = *bound.app;
  app.add_option(
         "--config", bound.flags.configs,
         "Experiment file (YAML), or the name of a shipped one, such as demo; later files win.")
      ->type_name("FILE")
      ->expected(1)
      ->take_all();
  app.add_option("--run", bound.flags.run, "Run folder that holds everything.")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_flag("-q,--quiet", bound.flags.quiet, "Warnings and errors only.");
  app.add_flag("-v,--verbose", bound.flags.verbose, "More detail.");
  bound.command->add_flags(app);
  for (const auto& option : options.all()) {
    if (!takes_section(*bound.command, option.key)) continue;
    const bool is_switch = std::holds_alternative<bool*>(option.value);
    const std::string alias = short_flag(*bound.command, option.key);
    auto* flag = app.add_option_function<std::vector<std::string>>(
        "--" + option.key + alias,
        [&bound, key = option.key](const std::vector<std::string>& values) {
          bound.option_flags[key] =
              values.empty() || values.back().empty() ? "true" : values.back();
        },
        fmt::format("{} [{}]", option.help, option_text(option.value)));
    flag->expected(is_switch ? 0 : 1, 1)
        ->type_name("(" + option_type_text(option) + ")")
        ->group("Options of the experiment: " + option.key.substr(0, option.key.find('.')));
  }
}

void report_usage(const CLI::App& app, const CLI::ParseError& error, const OptionList& options) {
  std::string message = error.what();
  const std::vector<std::string> extras = app.remaining(true);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    std::vector<std::string> known = {"config", "run", "quiet", "verbose", "help"};
    for (const auto& option : options.all()) known.push_back(option.key);
    std::string word = extras.front();
    word = word.substr(std::min(word.find_first_not_of('-'), word.size()));
    word = word.substr(0, word.find('='));
    const std::string near = nearest_name(word, known);
    message = fmt::format("\"{}\" is not known here{}", extras.front(),
                          near.empty() ? "" : fmt::format("; did you mean --{}?", near));
  }
  log_error("{}\nSee x2ctpa{} --help.", message,
            app.get_subcommands().empty() ? "" : " " + app.get_subcommands().front()->get_name());
}

std::string joined(int argc, char** argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) line += (i ? " " : "") + std::string(argv[i]);
  return line;
}

int run_command(BoundCommand& bound, const std::string& command_line) {
  CommandContext context;
  context.run = bound.flags.run;
  context.command_line = command_line;
  context.experiment.describe(context.options);
  for (const auto& file : bound.flags.configs) {
    context.options.load_yaml(find_experiment_file(file));
  }
  for (const auto& [key, text] : bound.option_flags) context.options.set(key, text, "--" + key);
  bound.command->check(context.experiment);
  install_interrupt_handlers();
  configure_runtime(context.experiment.runtime);
  return int(bound.command->run(context));
}

}  // namespace

void write_resolved(const CommandContext& context, const std::filesystem::path& folder) {
  write_file(folder / "resolved.yaml",
             "# " + context.command_line + "\n" + context.options.to_yaml(true));
}

int run_program(int argc, char** argv) {
  CLI::App program(
      "x2ctpa: 3D CT pulmonary angiography volumes from chest X-rays.\n"
      "Research use only, not for diagnosis.");
  program.set_version_flag("--version", std::string("x2ctpa ") + version());
  program.require_subcommand(1);
  Experiment defaults;
  OptionList options;
  defaults.describe(options);
  std::vector<BoundCommand> bound;
  for (auto& command : all_commands()) bound.push_back({std::move(command)});
  for (auto& b : bound) bind(b, program, options);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return program.exit(e);
    report_usage(program, e, options);
    return int(ExitCode::usage);
  }
  for (auto& b : bound) {
    if (!b.app->parsed()) continue;
    if (b.flags.quiet) set_verbosity(Verbosity::quiet);
    if (b.flags.verbose) set_verbosity(Verbosity::verbose);
    try {
      return run_command(b, joined(argc, argv));
    } catch (const std::exception& e) {
      const Error error = translate_exception(e, b.command->name());
      log_error("{}", error.what());
      return int(error.code());
    }
  }
  return int(ExitCode::usage);
}

}  // namespace x2ctpa
