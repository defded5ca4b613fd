#include "commands/help.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace x2ctpa {
namespace {

constexpr size_t first_column = 26;  // names of options and commands
constexpr size_t narrowest = 50, widest = 100;

size_t terminal_columns() {
  size_t columns = 80;
  winsize size{};
  if (const char* given = std::getenv("COLUMNS"); given != nullptr && std::atoi(given) > 0)
    columns = size_t(std::atoi(given));
  else if (isatty(STDOUT_FILENO) != 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 &&
           size.ws_col > 0)
    columns = size.ws_col;
  return std::clamp(columns, narrowest, widest);
}

// `text` in lines of the terminal's width, all but the first indented; `used`: columns of the first
// that are taken.
std::string wrapped(const std::string& text, size_t indent, size_t used) {
  const size_t columns = terminal_columns();
  std::istringstream words(text);
  std::string out;
  size_t at = used;
  for (std::string word; words >> word;) {
    const bool begins = at == used && out.empty();
    if (!begins && at + 1 + word.size() > columns) {
      out += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (!begins) {
      out += ' ';
      ++at;
    }
    out += word;
    at += word.size();
  }
  return out;
}

// "  name   what it means", the meaning below a name that is too long.
std::string entry(const std::string& name, const std::string& meaning) {
  std::string line = "  " + name;
  if (line.size() + 2 > first_column)
    line += "\n" + std::string(first_column, ' ');
  else
    line.resize(first_column, ' ');
  return line + wrapped(meaning, first_column, first_column) + "\n";
}

std::string names_of(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  if (option.get_positional()) add(option.get_name(true));
  for (const auto& name : option.get_snames()) add("-" + name);
  // The shorter form of an option of the experiment first.
  std::vector<std::string> words = option.get_lnames();
  std::stable_sort(words.begin(), words.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (const auto& word : words) add("--" + word);
  const std::string type = option.get_type_name();
  return option.nonpositional() && !type.empty() ? names + " " + type : names;
}

bool is_help(const CLI::Option& option) { return option.check_lname("help"); }

// A heading with the options of `group`; nothing without any.
std::string group_text(const CLI::App& app, const std::string& group, const std::string& heading) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group() != group || is_help(*option)) continue;
    text += entry(names_of(*option), option->get_description());
  }
  return text.empty() ? text : "\n" + heading + ":\n" + text;
}

std::string usage_of(const CLI::App& app) {
  std::string usage = "Usage: x2ctpa";
  if (app.get_parent() == nullptr) return usage + " COMMAND [OPTIONS]\n";
  usage += " " + app.get_name();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = option->get_name(true);
    usage += option->get_required() ? " " + name : " [" + name + "]";
  }
  return usage + " [OPTIONS]\n";
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string,
                                     CLI::AppFormatMode mode) const {
  std::string text = usage_of(*app) + "\n" + wrapped(app->get_description(), 0, 0) + "\n";
  if (!examples_.empty()) text += "\nExamples:\n";
  for (const auto& example : examples_) text += "  " + example + "\n";
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  if (!commands.empty()) text += "\nCommands:\n";
  for (const CLI::App* command : commands)
    text += entry(command->get_name(), command->get_description());
  text += group_text(*app, "Options", "Options") + group_text(*app, common_group, common_group);
  size_t more = 0;
  for (const std::string& group : app->get_groups()) {
    if (group.empty() || group == "Options" || group == common_group) continue;
    const auto options =
        app->get_options([&](const CLI::Option* option) { return option->get_group() == group; });
    more += options.size();
    if (mode == CLI::AppFormatMode::All) text += group_text(*app, group, group);
  }
  if (more > 0 && mode != CLI::AppFormatMode::All) {
    text += "\n" +
            wrapped(fmt::format("{} more settings: x2ctpa {} --help-all, or docs/options.md.", more,
                                app->get_name()),
                    0, 0) +
            "\n";
  }
  return text;
}

}  // namespace x2ctpa
