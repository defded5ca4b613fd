// Training a PE classifier, once or once per fold of a cross-validation.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

struct ClassifierOptions {
  DenseNet3dOptions model;
  TrainOptions train;
  PeInput input = PeInput::volume;
  PeInput cxr = PeInput::xray;
  bool folds = true;
  double positive_weight = 0;
  ThresholdRule threshold = ThresholdRule::youden;
  double sensitivity = 0.9;
  bool flip = false;
  double shift = 0;
  double noise = 0;

  ClassifierOptions();
  void describe(OptionList& options);
};

/// What a classifier sees of the cases of one arm.
struct ClassifierArm {
  PeArm name;
  PeInput input;
  /// How many inputs a case has, such as several samples of one X-ray; 0: none.
  std::function<int64_t(const Case&)> inputs;
  /// Input `index` of a case, (C, D, H, W), (1, S, S) or (E), of one shape for all cases.
  std::function<at::Tensor(const Case&, int64_t index)> load;
};

/// Trains on the labelled cases of "train" and stops by the AUC of "val": `folder`/model,
/// `folder`/metrics.jsonl, `folder`/scores.csv. With folds in the dataset and options.folds, once
/// per fold in `folder`/fold<k>, and `folder`/model holds all of them; `only_fold` trains that one
/// alone and writes no scores. The threshold comes from validation scores alone; with folds from
/// those of every case by the network that has not seen it.
void train_classifier(const Dataset& dataset, const ClassifierArm& arm,
                      const ClassifierOptions& options, const RuntimeOptions& runtime,
                      const std::filesystem::path& folder, const TrainCall& call,
                      std::optional<int64_t> only_fold = std::nullopt);

/// study_id, patient_id, label, score, split, fold, threshold of the labelled and unlabelled cases
/// of `split` ("all" for every one) that have an input. A case's score is the mean over its inputs
/// and, outside of the cross-validation, over all members ("fold" is "all" then); a case of fold k
/// is scored by the member that has not seen it. Training cases of a classifier without folds are
/// left out unless `split` names them.
CsvTable classifier_scores(PeClassifier& classifier, const Dataset& dataset,
                           const ClassifierArm& arm, const std::string& split);

}  // namespace x2ctpa
