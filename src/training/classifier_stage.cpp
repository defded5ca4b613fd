#include "x2ctpa/training/classifier_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "training/fold_training.h"
#include "training/model_card.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/metrics/classification.h"

namespace x2ctpa {

namespace fs = std::filesystem;

ClassifierOptions::ClassifierOptions() {
  train.batch_size = 8;
  train.learning_rate = 1e-4;
  train.keep_best = true;
}

void ClassifierOptions::describe(OptionList& options) {
  options.section("model", model);
  options.section("train", train);
  options.add(
      "input", &input,
      "What the arms ctpa and generated see: volumes, or their latents under the autoencoder.",
      {PeInput::volume, PeInput::latent});
  options.add(
      "cxr", &cxr,
      "What the arm cxr sees: the X-ray, or the embedding of a frozen encoder (--cxr-encoder).",
      {PeInput::xray, PeInput::embedding});
  options.add("folds", &folds, "Cross-validate when the dataset has folds.");
  options.add(
      "positive_weight", &positive_weight,
      "Weight of a positive case in the loss; 0: negatives / positives of the training cases.",
      {.min = 0});
  options.add("threshold", &threshold, "Rule that chooses the threshold on validation cases.");
  options.add("sensitivity", &sensitivity, "Sensitivity that the rule of that name reaches.",
              {.min = 0.01, .max = 1});
  options.add("flip", &flip, "Augment by mirroring left and right.");
  options.add("shift", &shift, "Augment by moving up to this share of each side.",
              {.min = 0, .max = 0.5});
  options.add("noise", &noise,
              "Augment by noise of this standard deviation, in units of the input.", {.min = 0});
}

namespace {

struct ScoredCases {
  std::vector<int> labels;
  std::vector<double> scores;
};

// Labelled rows of split "val"; with folds each comes from the network that has not seen it.
ScoredCases validation_of(const CsvTable& table) {
  ScoredCases out;
  for (size_t row = 0; row < table.size(); ++row) {
    if (table.at(row, "split") != "val" || table.at(row, "label").empty()) continue;
    out.labels.push_back(table.at(row, "label") == "1");
    out.scores.push_back(std::stod(table.at(row, "score")));
  }
  return out;
}

double chosen_threshold(const ScoredCases& validation, const ClassifierOptions& options) {
  const auto positives = std::count(validation.labels.begin(), validation.labels.end(), 1);
  if (positives == 0 || positives == int64_t(validation.labels.size())) {
    log_warning("the validation cases hold one class only: the threshold stays 0.5");
    return 0.5;
  }
  return options.threshold == ThresholdRule::youden
             ? youden_threshold(validation.labels, validation.scores)
             : threshold_for_sensitivity(validation.labels, validation.scores, options.sensitivity);
}

std::string score_text(double score) { return fmt::format("{:.9g}", score); }

CsvTable with_threshold(const CsvTable& scores, double threshold) {
  CsvTable out(scores.columns());
  for (size_t i = 0; i < scores.size(); ++i) {
    std::vector<std::string> row;
    for (const auto& column : scores.columns())
      row.push_back(column == "threshold" ? score_text(threshold) : scores.at(i, column));
    out.add(row);
  }
  return out;
}

double mean_score(PeClassifier& classifier, const ClassifierArm& arm, const Case& c,
                  std::optional<int64_t> member) {
  double sum = 0;
  const int64_t inputs = arm.inputs(c);
  for (int64_t i = 0; i < inputs; ++i) sum += classifier.score(arm.load(c, i), member);
  return sum / double(inputs);
}

ModelCard classifier_card(const ClassifierArm& arm, const ClassifierOptions& options, int64_t folds,
                          const fs::path& folder) {
  ModelCard card{
      .title = fmt::format("Classifier of pulmonary embolism, arm {}", arm.name),
      .what = fmt::format("Scores a case between 0 and 1 for pulmonary embolism, with `x2ctpa "
                          "classify predict`; its input: {}.",
                          arm.input),
      .task = "image-classification",
      .tags = {"classification"},
      .command = "classify train",
      .recipe = options_to_yaml(options),
      .limits = {"A score is no probability before it is calibrated on cases like yours."}};
  for (int64_t fold = 0; fold < folds; ++fold) {
    card.trainings.push_back(member_folder(folder, fold));
  }
  if (folds == 0) card.trainings = {folder};
  return card;
}

}  // namespace

CsvTable classifier_scores(PeClassifier& classifier, const Dataset& dataset,
                           const ClassifierArm& arm, const std::string& split) {
  CsvTable table({"study_id", "patient_id", "label", "score", "split", "fold", "threshold"});
  const bool folds = classifier.info().folds > 0;
  for (const Case& c : dataset.cases()) {
    const bool out_of_fold = folds && c.fold && c.split != "test";
    const std::string own_split = out_of_fold ? "val" : c.split;
    if (split == "all" ? own_split == "train" : own_split != split) continue;
    if (arm.inputs(c) == 0) continue;
    const auto member = out_of_fold ? c.fold : std::nullopt;
    table.add({c.id, c.patient_id, c.pe ? std::to_string(*c.pe) : "",
               score_text(mean_score(classifier, arm, c, member)), own_split,
               out_of_fold ? std::to_string(*c.fold)
               : folds     ? "all"
                           : "",
               score_text(classifier.info().threshold)});
  }
  return table;
}

void train_classifier(const Dataset& dataset, const ClassifierArm& arm,
                      const ClassifierOptions& options, const RuntimeOptions& runtime,
                      const fs::path& folder, const TrainCall& call,
                      std::optional<int64_t> only_fold) {
  const int64_t folds = options.folds ? dataset.folds() : 0;
  if (only_fold && *only_fold >= folds)
    throw Error(fmt::format("--fold {}: the dataset has {} folds", *only_fold, folds));
  const fs::path model = folder / "model";
  if (call.processes->first() && !call.dry_run) withdraw_model(model);
  bool writes = true;
  if (folds == 0) {
    writes = FoldTraining(dataset, arm, options, runtime, std::nullopt).run(folder, model, call);
  }
  for (int64_t fold = 0; fold < folds; ++fold) {
    if (only_fold && *only_fold != fold) continue;
    const Dataset own = dataset.with_fold(fold);
    writes = FoldTraining(own, arm, options, runtime, fold)
                 .run(member_folder(folder, fold), member_folder(model, fold), call) &&
             writes;
  }
  if (!writes || only_fold) return;
  PeClassifierInfo info{arm.name, arm.input, folds, 0.5, options.threshold};
  write_classifier_info(model, info);
  PeClassifier classifier(model, select_device(runtime));
  const CsvTable scores = classifier_scores(classifier, dataset, arm, "all");
  info.threshold = chosen_threshold(validation_of(scores), options);
  write_classifier_info(model, info);
  with_threshold(scores, info.threshold).write(folder / "scores.csv");
  publish_model(model, classifier_card(arm, options, folds, folder), dataset);
}

}  // namespace x2ctpa
