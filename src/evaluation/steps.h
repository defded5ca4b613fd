// The steps of `evaluate`, in their order.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/evaluation/evaluation.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

inline constexpr std::array<const char*, 3> plane_names{"axial", "coronal", "sagittal"};

/// From a run folder: dataset/, samples/samples.csv, classifier/<arm>/scores.csv and
/// vae/reconstruction.csv, whichever are there.
EvaluationInputs inputs_of_run(const std::filesystem::path& run, const EvaluateOptions& options);

/// Plain folders: volumes and X-rays paired by file name without extension.
struct PlainFolders {
  std::filesystem::path generated, real;         ///< both or none
  std::filesystem::path training, cxr, vessels;  ///< any may be empty
  std::vector<std::string> scores;               ///< NAME=FILE
};
/// The title of inputs without volumes.
inline constexpr const char* score_tables_title = "score tables";
EvaluationInputs inputs_of_folders(const PlainFolders& folders, const EvaluateOptions& options);

/// For each case the index of a case of another patient, a seeded draw in which every case is
/// taken at most once; -1 where no such partner is left.
std::vector<int64_t> draw_wrong_partners(const std::vector<std::string>& patients, int64_t seed);

/// Image metrics of every pair, its baselines and references. Adds to `problems` what cannot be
/// used.
ImageEvaluation evaluate_images(const EvaluationInputs& inputs, const EvaluateOptions& options,
                                const RuntimeOptions& runtime, std::vector<Problem>& problems);

/// Distances to the nearest training volume, of volumes and of their latents where there is an
/// autoencoder.
std::vector<Memorisation> evaluate_memorisation(const EvaluationInputs& inputs,
                                                const ImageEvaluation& images);

ScoreEvaluation evaluate_scores(const EvaluationInputs& inputs, const EvaluateOptions& options,
                                int64_t seed, std::vector<Problem>& problems);

/// All of the above. `command_line` is told in the provenance.
/// Throws Error(no_data) when there is neither a pair nor a score.
Evaluation evaluate(const EvaluationInputs& inputs, const EvaluateOptions& options,
                    const RuntimeOptions& runtime, const std::string& command_line);

/// metrics.json, the tables, and report.html, which shows metrics.json, in `folder`.
void write_results(const Evaluation& evaluation, const std::filesystem::path& folder);
nlohmann::ordered_json metrics_json(const Evaluation& evaluation);

/// per_case.csv, image_quality.csv, table.csv, table.md, table.tex and problems.csv in `folder`.
void write_tables(const Evaluation& evaluation, const std::filesystem::path& folder);

/// subgroups.csv in `folder`, where the dataset keeps columns for subgroups: of each value of such
/// a column the median and quartiles of each image metric and the area of each arm.
void write_subgroups(const Evaluation& evaluation, const std::filesystem::path& folder);

/// The result as plain text for stdout.
std::string result_text(const Evaluation& evaluation);

/// Warns of problems, of which `folder`/problems.csv tells; partial when one is a failure.
ExitCode report_problems(const std::vector<Problem>& problems, const std::filesystem::path& folder);

/// Compares metrics.json of two evaluations (or of the run folders that hold them): a table on
/// stdout, and comparison.csv and comparison.md in `out` where it is given.
ExitCode compare_runs(const std::filesystem::path& first, const std::filesystem::path& second,
                      const std::filesystem::path& out);

/// A reading as radiologists do it: true and generated volumes of up to `cases` cases as DICOM
/// under blind names, a rating sheet, and the key, which readers must not see.
ExitCode write_reader_study(const EvaluationInputs& inputs, int64_t cases, int64_t seed,
                            const std::filesystem::path& folder);

/// Mean scores, preference and agreement of filled sheets; the key lies beside the first one or in
/// its parent folder. Prints them and writes results.csv beside the key, or in `out`.
ExitCode analyse_readings(const std::vector<std::filesystem::path>& sheets,
                          const std::filesystem::path& out);

/// "0.83", or "–" for what is not finite; a p value keeps two digits.
std::string number_text(double value, int digits = 2);
std::string p_text(double p);

/// A volume file in the canonical axes.
Volume read_oriented(const std::filesystem::path& file);

}  // namespace x2ctpa
