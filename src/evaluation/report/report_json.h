// Parts of metrics.json. The report draws all that it shows, pictures aside, from this file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/evaluation/evaluation.h"

namespace x2ctpa {

/// null for what is not finite; rounded to six decimals for points of curves.
nlohmann::ordered_json number_json(double value);
nlohmann::ordered_json rounded_json(double value);
nlohmann::ordered_json interval_json(const Interval& interval);

nlohmann::ordered_json distribution_json(const Distribution& distribution);
nlohmann::ordered_json test_json(const BaselineTest& test);

/// Clots by size and place, or null without masks of them; pictures of the shown ones, in their
/// order; every case and source as a table.
nlohmann::ordered_json lesions_json(const Evaluation& evaluation);
nlohmann::ordered_json lesion_pictures(const Evaluation& evaluation);
CsvTable lesion_table(const Evaluation& evaluation);

/// Arms with their curves, tests between them, and the published figures.
nlohmann::ordered_json classification_json(const Evaluation& evaluation);

/// The small print of each table and chart: its protocol, of what was run.
nlohmann::ordered_json captions_json(const Evaluation& evaluation);

/// What a source is called in the report, and in the columns of stdout. In plain folders only pairs
/// are known, neither X-rays nor patients.
struct SourceLabel {
  const char *name, *brief;
};
SourceLabel source_label(const EvaluationInputs& inputs, source::Index source);

/// The baselines that were measured at all.
std::vector<source::Index> measured_baselines(const ImageEvaluation& images);

/// "the table's own threshold", or what else the decisions of all arms rest on.
std::string threshold_text(const ScoreEvaluation& scores);

/// Rows of the paper: all or none, as evaluate.published says.
std::vector<PublishedArm> shown_published(const EvaluateOptions& options);

/// The split whose cases count, or empty where neither volumes nor tables have splits.
std::string split_of(const Evaluation& evaluation);

/// From best to worst PSNR.
std::vector<const CaseResult*> cases_by_psnr(const ImageEvaluation& images);

/// A case with pictures and its place among all: "Best", "Median", "Worst" or a percentile.
struct ShownCase {
  const CaseResult* result = nullptr;
  std::string rank;
};

/// `evaluate.report_cases` cases, evenly spread over the ranks.
std::vector<ShownCase> shown_cases(const Evaluation& evaluation);

/// Of each shown case, in their order: PNG files in base64 of slices, MIP, DRR and X-ray, and the
/// sizes by which pictures.js cuts the slices out. They are too large for metrics.json.
nlohmann::ordered_json case_pictures(const Evaluation& evaluation);

}  // namespace x2ctpa
