#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "commands/help.h"
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

// Every further name of an option, as short_flag gives it.
std::string aliases(const Command& command, const std::string& key) {
  std::string names = short_flag(command, key);
  for (const auto& [flag, option] : command.shortcuts()) {
    if (option == key) names += ",--" + flag;
  }
  return names;
}

// What --help shows of the experiment: all that has a short form, and of the runtime the common
// ones.
std::string group_of(const Command& command, const std::string& key) {
  const bool runtime = key.rfind("runtime.", 0) == 0;
  const bool common =
      runtime ? key == "runtime.seed" || key == "runtime.device" || key == "runtime.threads"
              : !aliases(command, key).empty();
  return common ? common_group : "Section " + key.substr(0, key.find('.'));
}

void bind(BoundCommand& bound, CLI::App& program, const OptionList& options) {
  bound.app = program.add_subcommand(bound.command->name(), bound.command->help());
  CLI::App& app = *bound.app;
  app.formatter(std::make_shared<HelpFormatter>(bound.command->examples()));
  app.set_help_all_flag("--help-all", "Show every option.");
  bound.command->add_flags(app);
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
  for (const auto& option : options.all()) {
    if (!takes_section(*bound.command, option.key)) continue;
    const bool is_switch = std::holds_alternative<bool*>(option.value);
    auto* flag = app.add_option_function<std::vector<std::string>>(
        "--" + option.key + aliases(*bound.command, option.key),
        [&bound, key = option.key](const std::vector<std::string>& values) {
          bound.option_flags[key] =
              values.empty() || values.back().empty() ? "true" : values.back();
        },
        fmt::format("{} ({}) [{}]", option.help, option_type_text(option),
                    option_text(option.value)));
    flag->expected(is_switch ? 0 : 1, 1)
        ->allow_extra_args(false)  // else CLI11 takes "[1, 2]", as in YAML, for two values
        ->type_name(is_switch ? "" : "VALUE")
        ->group(group_of(*bound.command, option.key));
  }
}

// Words of other programs, and the commands that do what they say.
const std::vector<std::pair<std::string, std::string>> other_words = {
    {"predict", "x2ctpa sample"},
    {"generate", "x2ctpa sample"},
    {"infer", "x2ctpa sample"},
    {"train", "x2ctpa train-vae, x2ctpa train-diffusion or x2ctpa classify train"},
    {"test", "x2ctpa evaluate"},
    {"check", "x2ctpa preprocess --check"}};

std::string unknown_command(const std::string& word, const CLI::App& program) {
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  std::string hint;
  for (const auto& [other, meant] : other_words) {
    if (word == other) hint = meant;
  }
  const std::string near = nearest_name(word, names);
  if (hint.empty() && !near.empty()) hint = "x2ctpa " + near;
  return fmt::format("there is no command \"{}\"; {}", word,
                     hint.empty() ? fmt::format("expected one of {}", fmt::join(names, ", "))
                                  : fmt::format("did you mean {}?", hint));
}

// The names that end with `word` after a dot, as flags.
std::vector<std::string> flags_that_end(const std::vector<std::string>& names, std::string word) {
  std::replace(word.begin(), word.end(), '-', '_');
  std::vector<std::string> found;
  for (const auto& name : names) {
    if (!word.empty() && name.ends_with("." + word)) found.push_back("--" + name);
  }
  return found.size() > 4 ? std::vector<std::string>() : found;
}

// The flags that begin with `word` and a dash.
std::vector<std::string> flags_that_begin(const std::vector<std::string>& names,
                                          const std::string& word) {
  std::vector<std::string> found;
  for (const auto& name : names) {
    if (!word.empty() && name.starts_with(word + "-")) found.push_back("--" + name);
  }
  return found;
}

// What a flag that `command` does not have may have meant: an option that ends with the word or
// begins with it, else the nearest of its flags, else an option of another command.
std::string flag_hint(std::string word, const CLI::App& command, const OptionList& options) {
  word = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  word = word.substr(0, word.find('='));
  std::vector<std::string> own, all;
  for (const CLI::Option* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) own.push_back(name);
  }
  for (const auto& option : options.all()) all.push_back(option.key);
  auto flags = flags_that_end(own, word);
  if (flags.empty()) flags = flags_that_begin(own, word);
  if (!flags.empty()) return fmt::format("; did you mean {}?", fmt::join(flags, " or "));
  if (const std::string near = nearest_name(word, own); !near.empty())
    return fmt::format("; did you mean --{}?", near);
  auto others = flags_that_end(all, word);
  if (const std::string near = nearest_name(word, all); others.empty() && !near.empty())
    others.push_back("--" + near);
  return others.empty() ? ""
                        : fmt::format(
                              "; {} is an option of other commands: an experiment file "
                              "(--config) may hold it",
                              fmt::join(others, " or "));
}

void report_usage(const CLI::App& program, const CLI::ParseError& error,
                  const OptionList& options) {
  std::string message = error.what();
  const auto parsed = program.get_subcommands();
  const std::vector<std::string> extras = program.remaining(true);
  if (parsed.empty()) {
    message = extras.empty() ? "a command is missing" : unknown_command(extras.front(), program);
  } else if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !extras.empty()) {
    message = fmt::format(
        "\"{}\" is not known here{}", extras.front(),
        extras.front().starts_with("-") ? flag_hint(extras.front(), *parsed.front(), options) : "");
  }
  log_error("{}\nSee x2ctpa{} --help.", message,
            parsed.empty() ? "" : " " + parsed.front()->get_name());
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
      "3D CT pulmonary angiography volumes from chest X-rays. Research use only, not for "
      "diagnosis.");
  program.formatter(std::make_shared<HelpFormatter>(std::vector<std::string>{
      "x2ctpa phantom --config demo --run runs/demo", "x2ctpa sample --help"}));
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
      // Who asks a command to stop has not met an error.
      if (error.code() == ExitCode::interrupted)
        log_info("{}", error.what());
      else
        log_error("{}", error.what());
      return int(error.code());
    }
  }
  return int(ExitCode::usage);
}

}  // namespace x2ctpa
