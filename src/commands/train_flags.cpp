#include "commands/train_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/log.h"

namespace x2ctpa {

void TrainFlags::add(CLI::App& app) {
  app.add_option("--dataset", dataset_, "Dataset folder [<run>/dataset].")->type_name("DIR");
  app.add_flag("--force", call_.force, "Go on from a checkpoint although the settings changed.");
  app.add_flag("--dry-run", call_.dry_run, "Print the plan, try one batch, train nothing.");
  app.add_option(
         "--max-steps", call_.max_steps,
         "Stop with a checkpoint after N steps of this call; exit code 130 when more are left.")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  app.add_option(
         "--max-hours", call_.max_hours,
         "Stop with a checkpoint after so many hours; exit code 130 when more steps are left.")
      ->type_name("H")
      ->check(CLI::NonNegativeNumber);
}

std::vector<std::pair<std::string, std::string>> TrainFlags::shortcuts(const std::string& section) {
  return {{"steps", section + ".steps"},
          {"batch-size", section + ".batch_size"},
          {"learning-rate", section + ".learning_rate"}};
}

std::filesystem::path TrainFlags::dataset(const CommandContext& context) const {
  return dataset_.empty() ? context.run / "dataset" : std::filesystem::path(dataset_);
}

ExitCode TrainFlags::run(CommandContext& context, const std::filesystem::path& folder,
                         const std::function<void(const Dataset&, const TrainCall&)>& body) const {
  TrainCall call = call_;
  call.processes = std::make_shared<Processes>(select_device(context.experiment.runtime));
  try {
    if (!call.processes->first())
      set_verbosity(Verbosity::quiet);
    else if (!call.dry_run) {
      log_to_file(folder / "log.txt");
      write_resolved(context, folder);
    }
    body(Dataset::open(dataset(context)), call);
  } catch (const std::exception& e) {
    const Error error = translate_exception(e, folder.string());
    call.processes->tell_cause(error.what());
    throw error;
  }
  return ExitCode::ok;
}

std::filesystem::path optional_model(const std::filesystem::path& given,
                                     const std::filesystem::path& usual) {
  if (!given.empty() && !std::filesystem::exists(given))
    throw Error(fmt::format("{}: there is no such model folder", given.string()),
                ExitCode::no_data);
  if (!given.empty()) return given;
  return std::filesystem::exists(usual) ? usual : std::filesystem::path();
}

}  // namespace x2ctpa
