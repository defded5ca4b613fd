// One subcommand of the program.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/commands/experiment.h"
#include "x2ctpa/core/error.h"

namespace CLI {
class App;
}

namespace x2ctpa {

/// What every command gets: the resolved experiment and the run folder.
struct CommandContext {
  Experiment experiment;
  std::filesystem::path run;  ///< --run; paths not given on the command line lie below it
  std::string command_line;   ///< for provenance
  OptionList options;         ///< over `experiment`, with the source of each value
};

/// Writes `folder`/resolved.yaml: every option with where its value came from, and the command
/// line.
void write_resolved(const CommandContext& context, const std::filesystem::path& folder);

class Command {
 public:
  virtual ~Command() = default;
  virtual std::string name() const = 0;
  virtual std::string help() const = 0;  ///< one line, an imperative
  /// Sections of the experiment whose options are flags of this command; "runtime" always is.
  virtual std::vector<std::string> sections() const = 0;
  /// Whether the options of the section of its own name may also be written without it:
  /// --batch-size for --sample.batch_size.
  virtual bool short_flags() const { return false; }
  /// Further short forms of what everybody sets: the flag's name without dashes, and the option.
  virtual std::vector<std::pair<std::string, std::string>> shortcuts() const { return {}; }
  /// Lines for --help, as they are typed.
  virtual std::vector<std::string> examples() const { return {}; }
  /// Flags of its own, bound to members (--input, --cxr, ...).
  virtual void add_flags(CLI::App& app) {}
  /// Called when all options are read, before anything is done. Throws Error for values that are
  /// sound in themselves but not for this command.
  virtual void check(const Experiment& experiment) const {}
  virtual ExitCode run(CommandContext& context) = 0;
};

std::unique_ptr<Command> make_phantom_command();
std::unique_ptr<Command> make_preprocess_command();
std::unique_ptr<Command> make_train_vae_command();
std::unique_ptr<Command> make_train_diffusion_command();
std::unique_ptr<Command> make_sample_command();
std::unique_ptr<Command> make_classify_command();
std::unique_ptr<Command> make_evaluate_command();
std::unique_ptr<Command> make_info_command();

/// Parses the command line, runs the command and returns the exit code; every error is printed.
int run_program(int argc, char** argv);

}  // namespace x2ctpa
