#include "training/run_checkpoints.h"

#include <fmt/format.h>

#include <exception>
#include <sstream>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

// Settings that may change from call to call: nothing that is learnt depends on them.
bool changes_nothing(const std::string& line) {
  const size_t from = line.find_first_not_of(' '), to = line.find(':');
  if (from == std::string::npos || to == std::string::npos || to < from) return false;
  const std::string key = line.substr(from, to - from);
  for (const char* free : {"checkpoint_every", "checkpoint_minutes", "keep_checkpoints",
                           "log_every", "preview_every"}) {
    if (key == free) return true;
  }
  return false;
}

// The lines of `now` and `before` that differ, one pair per line.
std::string differences(const std::string& before, const std::string& now) {
  std::istringstream a(before), b(now);
  std::string out, x, y;
  while (true) {
    const bool more_a = bool(std::getline(a, x)), more_b = bool(std::getline(b, y));
    if (!more_a && !more_b) return out;
    if (!more_a) x.clear();
    if (!more_b) y.clear();
    if (x != y && !(changes_nothing(x) && changes_nothing(y)))
      out += fmt::format("\n  then: {}\n  now:  {}", x, y);
  }
}

}  // namespace

RunCheckpoints::RunCheckpoints(std::filesystem::path folder, const std::string& settings,
                               const TrainOptions& options, const Processes& processes)
    : options_(options),
      processes_(processes),
      settings_(settings + fmt::format("processes: {}\n", processes.count())),
      run_(std::move(folder)),
      folder_(run_ / "checkpoints"),
      writer_(folder_, options.keep_checkpoints) {}

std::optional<Checkpoint> RunCheckpoints::newest(bool force) const {
  auto checkpoint = newest_checkpoint(folder_);
  if (!checkpoint) return std::nullopt;
  const std::string changes = differences(checkpoint->settings, settings_);
  if (!changes.empty() && !force) {
    throw Error(
        fmt::format("{}: the checkpoint of step {} was made with other settings:{}\nUse the old "
                    "settings, another --run folder, or --force to go on with the new ones.{}",
                    run_.string(), checkpoint->step, changes,
                    changes.find("steps:") == changes.npos
                        ? ""
                        : " With --force a training that has ended goes on to the new number of "
                          "steps; the learning rate then follows the new schedule from here on."));
  }
  return checkpoint;
}

void RunCheckpoints::resume(TrainState& state, const Checkpoint& checkpoint) {
  try {
    state.load(checkpoint.tensors, folder_.string());
  } catch (const std::exception& e) {
    const std::string changes = differences(checkpoint.settings, settings_);
    if (changes.empty()) throw;
    throw Error(
        fmt::format("{}: --force goes on with other settings, not with another network: the "
                    "checkpoint of step {} does not fit it. The settings that differ:{}\nUse the "
                    "old ones, another --run folder, or remove {} to begin anew. ({})",
                    run_.string(), checkpoint.step, changes, folder_.string(),
                    translate_exception(e, "loading").what()));
  }
  state.step = saved_step_ = checkpoint.step;
}

bool RunCheckpoints::due(int64_t step) const {
  const bool minutes_are_up =
      options_.checkpoint_minutes > 0 && since_saved_.seconds() > 60 * options_.checkpoint_minutes;
  return step % options_.checkpoint_every == 0 || minutes_are_up;
}

double RunCheckpoints::save(const TrainState& state) {
  since_saved_.restart();
  if (!processes_.first()) return 0;
  writer_.start({state.step, settings_, state.tensors()});
  saved_step_ = state.step;
  return since_saved_.seconds();
}

void RunCheckpoints::remove_unfinished() const {
  if (processes_.first()) remove_partial_files(folder_);
}

}  // namespace x2ctpa
