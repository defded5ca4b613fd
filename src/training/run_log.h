// What one can watch of a run: metrics.jsonl, TensorBoard event files, previews.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "x2ctpa/training/event_file.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

class RunLog {
 public:
  /// Drops lines of `folder`/metrics.jsonl about steps after `step`, and damaged ones: those steps
  /// will be taken again. `on`: false in processes that do not write.
  RunLog(std::filesystem::path folder, int64_t step, bool on);

  /// One object of numbers, with its "step".
  void write(const nlohmann::json& line);
  void write(int64_t step, const std::vector<Picture>& pictures);

 private:
  std::filesystem::path folder_;
  std::optional<EventFile> events_;
};

}  // namespace x2ctpa
