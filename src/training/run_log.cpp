#include "training/run_log.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

void forget_steps_after(const std::filesystem::path& file, int64_t step) {
  if (!std::filesystem::exists(file)) return;
  std::istringstream lines(read_file(file));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (entry.is_object() && entry.value("step", step + 1) <= step) kept += line + "\n";
  }
  write_file(file, kept);
}

}  // namespace

RunLog::RunLog(std::filesystem::path folder, int64_t step, bool on) : folder_(std::move(folder)) {
  if (!on) return;
  forget_steps_after(folder_ / "metrics.jsonl", step);
  events_.emplace(folder_ / "tensorboard", step + 1);
}

void RunLog::write(const nlohmann::json& line) {
  if (!events_) return;
  append_line(folder_ / "metrics.jsonl", line.dump());
  const auto step = line.at("step").get<int64_t>();
  for (const auto& [name, value] : line.items()) {
    if (name == "step" || !value.is_number()) continue;
    const bool validation = name.rfind("val_", 0) == 0;
    events_->scalar(validation ? "validation/" + name.substr(4) : "train/" + name, step,
                    value.get<double>());
  }
  events_->flush();
}

void RunLog::write(int64_t step, const std::vector<Picture>& pictures) {
  if (!events_) return;
  for (const auto& picture : pictures) {
    write_file(folder_ / "previews" / fmt::format("step-{:09}-{}.png", step, picture.name),
               picture.png);
    events_->picture("preview/" + picture.name, step, picture.png);
  }
  events_->flush();
}

}  // namespace x2ctpa
