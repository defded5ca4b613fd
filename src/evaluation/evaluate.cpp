// The steps of `evaluate` in their order, and what it leaves on disk.
#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/features.h"
#include "evaluation/report/page.h"
#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/version.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

void refuse_nothing(const Evaluation& evaluation) {
  if (!evaluation.images.cases.empty() || !evaluation.scores.arms.empty()) return;
  std::string message = "evaluate: nothing to evaluate in " + evaluation.inputs.title;
  for (size_t i = 0; i < evaluation.problems.size() && i < 10; ++i) {
    const Problem& p = evaluation.problems[i];
    message += fmt::format("\n  {}: {}: {}", p.kind, p.name, p.detail);
  }
  if (evaluation.problems.size() > 10)
    message += fmt::format("\n  and {} more", evaluation.problems.size() - 10);
  std::string advice = "Run x2ctpa sample or x2ctpa classify predict first.";
  if (evaluation.inputs.run.empty()) {
    advice = evaluation.inputs.title == score_tables_title
                 ? "A score table needs rows with a study_id, a label 0 or 1 and a score."
                 : "Volumes of --generated and --real are paired by file name without ending: give "
                   "both the same names.";
  }
  throw Error(message + "\n" + advice, ExitCode::no_data);
}

std::vector<std::pair<std::string, std::string>> provenance_of(const Evaluation& evaluation,
                                                               const std::string& command_line) {
  const std::time_t now = std::time(nullptr);
  char time[32];
  std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&now));
  const EvaluationInputs& inputs = evaluation.inputs;
  std::vector<std::pair<std::string, std::string>> lines{{"x2ctpa", version()},
                                                         {"LibTorch", TORCH_VERSION},
                                                         {"made", time},
                                                         {"command", command_line},
                                                         {"seed", std::to_string(evaluation.seed)}};
  if (!inputs.dataset_hash.empty()) lines.emplace_back("dataset (SHA-256)", inputs.dataset_hash);
  const fs::path samples = inputs.run / "samples" / "samples.csv";
  if (!inputs.run.empty() && fs::exists(samples))
    lines.emplace_back("samples.csv (SHA-256)", sha256_of_file(samples));
  for (const fs::path& file : {inputs.features, inputs.video_features}) {
    if (fs::is_regular_file(file))
      lines.emplace_back(file.filename().string() + " (SHA-256)", sha256_of_file(file));
  }
  for (const ScoreTable& table : inputs.scores) {
    lines.emplace_back(fmt::format("scores of {} (SHA-256)", table.name),
                       sha256_of_file(table.file));
  }
  const auto& cases = evaluation.images.cases;
  if (!cases.empty() && !cases[0].pair.sampler.empty()) {
    const SamplePair& p = cases[0].pair;
    lines.emplace_back("sampler (first sample)",
                       fmt::format("{}, {} steps, guidance scale {}, seed {}", p.sampler, p.steps,
                                   p.guidance_scale, p.seed));
  }
  return lines;
}

}  // namespace

Evaluation evaluate(const EvaluationInputs& inputs, const EvaluateOptions& options,
                    const RuntimeOptions& runtime, const std::string& command_line) {
  const int64_t seed = runtime.seed;
  Evaluation evaluation;
  evaluation.inputs = inputs;
  evaluation.options = options;
  evaluation.seed = seed;
  evaluation.problems = inputs.problems;
  evaluation.images = evaluate_images(inputs, options, runtime, evaluation.problems);
  evaluation.features = evaluate_features(inputs, evaluation.images, options, seed);
  if (options.audit) evaluation.memorisation = evaluate_memorisation(inputs, evaluation.images);
  evaluation.scores = evaluate_scores(inputs, options, seed, evaluation.problems);
  refuse_nothing(evaluation);
  evaluation.provenance = provenance_of(evaluation, command_line);
  return evaluation;
}

void write_results(const Evaluation& evaluation, const fs::path& folder) {
  const std::string metrics = json_text(metrics_json(evaluation));
  write_file(folder / "metrics.json", metrics);
  write_tables(evaluation, folder);
  write_subgroups(evaluation, folder);
  const nlohmann::ordered_json pictures = {{"cases", case_pictures(evaluation)},
                                           {"lesions", lesion_pictures(evaluation)}};
  write_file(folder / "report.html", report_page(metrics, pictures, true));
}

ExitCode report_problems(const std::vector<Problem>& problems, const fs::path& folder) {
  if (problems.empty()) return ExitCode::ok;
  const auto failures =
      std::count_if(problems.begin(), problems.end(), [](const Problem& p) { return p.failure; });
  const auto told = fmt::format(
      "{} on the input, {} of them {}: see {}", counted(int64_t(problems.size()), "remark"),
      failures, failures == 1 ? "a failure" : "failures", (folder / "problems.csv").string());
  // Volumes of every split are sampled for the classifiers; that one is evaluated is no news.
  const bool usual = std::all_of(problems.begin(), problems.end(),
                                 [](const Problem& p) { return p.kind == "other split"; });
  if (usual) {
    log_info("{}", told);
  } else {
    log_warning("{}", told);
  }
  return failures > 0 ? ExitCode::partial : ExitCode::ok;
}

}  // namespace x2ctpa
