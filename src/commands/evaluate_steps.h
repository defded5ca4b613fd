// The steps of `evaluate`, in their order.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "x2ctpa/commands/evaluation.h"

namespace x2ctpa {

/// From a run folder: dataset/, samples/samples.csv, classifier/<arm>/scores.csv and
/// vae/reconstruction.csv, whichever are there.
EvaluationInputs inputs_of_run(const std::filesystem::path& run, const EvaluateOptions& options);

/// From plain folders: volumes paired by file name without extension. `training` may be empty.
/// `scores` are NAME=FILE.
EvaluationInputs inputs_of_folders(const std::filesystem::path& generated,
                                   const std::filesystem::path& real,
                                   const std::filesystem::path& training,
                                   const std::vector<std::string>& scores,
                                   const EvaluateOptions& options);

/// For each case the index of a case of another patient, a seeded draw in which every case is
/// taken at most once; -1 where no such partner is left.
std::vector<int64_t> draw_wrong_partners(const std::vector<std::string>& patients, int64_t seed);

/// Image metrics of every pair against both baselines. Adds to `problems` what cannot be used.
ImageEvaluation evaluate_images(const EvaluationInputs& inputs, int64_t seed,
                                std::vector<Problem>& problems);

ScoreEvaluation evaluate_scores(const EvaluationInputs& inputs, const EvaluateOptions& options,
                                int64_t seed, std::vector<Problem>& problems);

/// metrics.json, per_case.csv, image_quality.csv, table.csv and problems.csv in `folder`.
void write_tables(const Evaluation& evaluation, const std::filesystem::path& folder);
nlohmann::json metrics_json(const Evaluation& evaluation);

/// The result as plain text for stdout.
std::string result_text(const Evaluation& evaluation);

/// One self-contained HTML page.
std::string report_html(const Evaluation& evaluation);

/// "0.83", or "–" for what is not finite; a p value keeps two digits.
std::string number_text(double value, int digits = 2);
std::string p_text(double p);

/// A volume file in the house's axes.
Volume read_oriented(const std::filesystem::path& file);

}  // namespace x2ctpa
