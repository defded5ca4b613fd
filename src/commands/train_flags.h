// What the commands that train have in common.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/commands/command.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

class TrainFlags {
 public:
  void add(CLI::App& app);
  /// Short forms for the options of the training in `section`.
  static std::vector<std::pair<std::string, std::string>> shortcuts(const std::string& section);

  /// Opens the dataset, meets the other processes, and calls `body`. The first process logs to
  /// `folder`/log.txt and writes `folder`/resolved.yaml; the others only warn. An error of one is
  /// told to the others.
  ExitCode run(CommandContext& context, const std::filesystem::path& folder,
               const std::function<void(const Dataset&, const TrainCall&)>& body) const;

  /// The dataset folder, by default below the run.
  std::filesystem::path dataset(const CommandContext& context) const;

 private:
  std::string dataset_;
  TrainCall call_;
};

/// The model folder `given`, which must be there; else `usual`, if that is there; else empty.
std::filesystem::path optional_model(const std::filesystem::path& given,
                                     const std::filesystem::path& usual);

}  // namespace x2ctpa
