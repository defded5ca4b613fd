#include "training/run_report.h"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>
#include <vector>

namespace x2ctpa {

using nlohmann::json;

RunReport::RunReport(const TrainingStage& stage, const TrainOptions& options,
                     const Processes& processes, const std::filesystem::path& folder, int64_t step)
    : stage_(stage),
      options_(options),
      processes_(processes),
      log_(folder, step, processes.first()) {}

bool RunReport::due(int64_t every, int64_t step) const {
  return every > 0 && (step % every == 0 || step == options_.steps);
}

void RunReport::begin_step() {
  since_begin_.restart();
  waited_ = stage_.waited ? stage_.waited() : 0;
}

void RunReport::end_step(json& line, TrainState& state) {
  const bool validate = due(options_.validate_every, state.step) && stage_.validate,
             preview = due(options_.preview_every, state.step) && stage_.preview;
  const bool log = state.step % options_.log_every == 0 || validate || state.step == options_.steps;
  if (log) average_over_processes(line);
  line["seconds"] = since_begin_.seconds();
  if (stage_.waited) line["wait_seconds"] = stage_.waited() - waited_;
  if (validate || preview) look(validate, preview, line, state);
  if (!log) return;
  line["stall_seconds"] = stalled_;
  const Stopwatch writing;
  log_.write(line);
  stalled_ = writing.seconds();
}

void RunReport::average_over_processes(json& line) const {
  if (processes_.alone()) return;
  std::vector<double> values;
  for (const auto& [name, value] : line.items()) values.push_back(value.get<double>());
  at::Tensor sum = at::tensor(values, at::kDouble);
  processes_.sum(sum);
  int64_t i = 0;
  for (auto item : line.items()) {
    const double mean = sum[i++].item<double>() / double(processes_.count());
    if (item.key() != "step") item.value() = mean;
  }
}

void RunReport::look(bool validate, bool preview, json& line, TrainState& state) {
  state.main().module.eval();
  state.swap_average();
  if (validate) {
    at::Tensor score = at::zeros({1}, at::kDouble);
    if (processes_.first()) {
      const Validation found = stage_.validate();
      score.fill_(found.score);
      line["val_loss"] = found.score;
      for (const auto& [name, value] : found.terms) line["val_" + name] = value;
    }
    processes_.broadcast(score);
    state.judge(score.item<double>());
  }
  if (preview && processes_.first()) log_.write(state.step, stage_.preview());
  state.swap_average();
}

}  // namespace x2ctpa
