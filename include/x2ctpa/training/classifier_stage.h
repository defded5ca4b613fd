// Training a PE classifier, once or once per fold of a cross-validation.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

/// Logistic regression on principal components of X-rays averaged to xray_side squared and of
/// volumes or latents averaged to volume_grid. Volumes are seen as they are or clipped to one of
/// windows_hu, as a reader sets the window to what is looked for.
struct LinearHeadOptions {
  int64_t xray_side = 24;
  std::vector<int64_t> volume_grid{12, 24, 24};
  std::vector<double> windows_hu{-100, 400};
  std::vector<int64_t> components{300};
  std::vector<double> penalties{0.01, 0.1, 1, 10, 100, 1000};
  int64_t folds = 4;

  void describe(OptionList& options);
};

/// What becomes of training cases without a label in the arms of generated volumes. ignored:
/// nothing; taught: they are learnt with what a linear head of true volumes says of them.
enum class Unlabelled { ignored, taught };
constexpr auto words(Unlabelled) { return std::array{"ignored", "taught"}; }

struct ClassifierOptions {
  PeHead head = PeHead::densenet;
  DenseNet3dOptions model;
  LinearHeadOptions linear;
  TrainOptions train;
  PeInput input = PeInput::volume;
  PeInput cxr = PeInput::xray;
  Unlabelled unlabelled = Unlabelled::ignored;
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
  PeArm name = PeArm::ctpa;
  PeInput input = PeInput::volume;
  /// How many inputs a case has, such as several samples of one X-ray; 0: none.
  std::function<int64_t(const Case&)> inputs;
  /// Input `index` of a case, (C, D, H, W), (1, S, S) or (E), of one shape for all cases.
  std::function<at::Tensor(const Case&, int64_t index)> load;
  /// X-ray and volume: of a fused arm, whose input is both in one row. None otherwise.
  std::vector<ClassifierArm> parts{};
  /// One or none: the true volumes that a linear head learns from where a case has no label.
  std::vector<ClassifierArm> teacher{};
  /// Model folders of the classifiers that a derived arm builds on: those of cxr and generated
  /// (fused), of ctpa (transfer). None otherwise.
  std::vector<std::filesystem::path> trained{};
};

/// Trains on the labelled cases of "train" and stops by the AUC of "val": `folder`/model,
/// `folder`/metrics.jsonl, `folder`/scores.csv. With folds in the dataset and options.folds, once
/// per fold in `folder`/fold<k>, and `folder`/model holds all of them; `only_fold` trains that one
/// alone and writes no scores. The threshold comes from validation scores alone; with folds from
/// those of every case by the network that has not seen it.
///
/// With head best both heads are trained, in `folder`/densenet and `folder`/linear; the one with
/// the larger AUC of validation scores becomes `folder`/model and `folder`/scores.csv. An arm with
/// `trained` classifiers learns no network: transfer takes over the one of true volumes, and fused
/// is the mean of both logits. The head of distilled is linear.
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
