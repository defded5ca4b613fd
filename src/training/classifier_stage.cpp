#include "x2ctpa/training/classifier_stage.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "training/derived_arms.h"
#include "training/fold_training.h"
#include "training/linear_training.h"
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

void LinearHeadOptions::describe(OptionList& options) {
  options.add("xray_side", &xray_side, "Pixels per side to which X-rays are averaged.", {.min = 1});
  options.add("volume_grid", &volume_grid,
              "Voxels D, H, W to which volumes and latents are averaged.", {.min = 1, .count = 3});
  options.add(
      "windows_hu", &windows_hu,
      "Pairs of limits in HU. Volumes are seen as they are or clipped to one of these pairs, "
      "whichever does best in cross-validation of the training cases. Empty: as they are.");
  options.add("components", &components,
              "Most principal components; of several numbers the best is chosen likewise.",
              {.min = 1});
  options.add("penalties", &penalties,
              "Factors of half the squared weights in the loss to choose from likewise.",
              {.min = 1e-6});
  options.add("folds", &folds, "Folds of that cross-validation.", {.min = 2});
}

void ClassifierOptions::describe(OptionList& options) {
  options.add("head", &head,
              "What classifies: the published DenseNet; logistic regression on principal "
              "components, for few cases; or both are trained and the AUC of validation cases "
              "decides.");
  options.section("model", model);
  options.section("linear", linear);
  options.section("train", train);
  options.add(
      "input", &input,
      "What the arms ctpa and generated see: volumes, or their latents under the autoencoder.",
      {PeInput::volume, PeInput::latent});
  options.add(
      "cxr", &cxr,
      "What the arm cxr sees: the X-ray, or the embedding of a frozen encoder (--cxr-encoder).",
      {PeInput::xray, PeInput::embedding});
  options.add("unlabelled", &unlabelled,
              "Training cases without a label, in the arm generated with the linear head. "
              "ignored: left out. taught: learnt with the probability that a linear head of their "
              "true volumes gives, as in arm distilled.");
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
    log_warning("{}: the threshold stays 0.5", validation.labels.empty()
                                                   ? "there is no labelled validation case"
                                                   : "the validation cases hold one class only");
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

// What the card of `info` in `folder`/model tells; trainings are there for DenseNets alone.
ModelCard classifier_card(const PeClassifierInfo& info, const ClassifierOptions& options,
                          const fs::path& folder) {
  const auto area = [](double value) {
    return value > 0 ? fmt::format("{:.3f}", value) : "unknown";
  };
  ModelCard card{
      .title = fmt::format("Classifier of pulmonary embolism, arm {}", info.arm),
      .what = fmt::format("Scores a case between 0 and 1 for pulmonary embolism, with `x2ctpa "
                          "classify predict`; its input: {}. Its head: {}, AUC of validation cases "
                          "{}.",
                          info.input, info.head, area(info.validation_auc)),
      .task = "image-classification",
      .tags = {"classification"},
      .command = "classify train",
      .recipe = options_to_yaml(options),
      .limits = {"A score is no probability before it is calibrated on cases like yours."}};
  if (options.head == PeHead::best && info.other_head_auc > 0)
    card.what +=
        fmt::format(" The other head, which was not taken, has {}.", area(info.other_head_auc));
  if (info.head != PeHead::densenet) return card;
  for (int64_t fold = 0; fold < info.folds; ++fold)
    card.trainings.push_back(member_folder(folder, fold));
  if (info.folds == 0) card.trainings = {folder};
  return card;
}

void check_linear(const LinearHeadOptions& options) {
  if (options.components.empty() || options.penalties.empty())
    throw Error(
        "classifier.linear.components and penalties: expected at least one value of each, found "
        "none");
  const auto& windows = options.windows_hu;
  bool rising = windows.size() % 2 == 0;
  for (size_t i = 0; rising && i < windows.size(); i += 2) rising = windows[i] < windows[i + 1];
  if (!rising)
    throw Error(fmt::format(
        "classifier.linear.windows_hu: expected pairs of a lower and an upper limit, found [{}]",
        fmt::join(windows, ", ")));
}

// AUC of validation scores; 0 where they hold one class only.
double validation_area(const ScoredCases& cases) {
  const auto positives = std::count(cases.labels.begin(), cases.labels.end(), 1);
  if (positives == 0 || positives == int64_t(cases.labels.size())) return 0;
  return roc_auc(cases.labels, cases.scores);
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

namespace {

// One arm of one run, with one head or with the better of both.
class ArmTraining {
 public:
  ArmTraining(const Dataset& dataset, const ClassifierArm& arm, const ClassifierOptions& options,
              const RuntimeOptions& runtime, const TrainCall& call,
              std::optional<int64_t> only_fold)
      : dataset_(dataset),
        arm_(arm),
        options_(options),
        runtime_(runtime),
        call_(call),
        only_fold_(only_fold),
        folds_(options.folds ? dataset.folds() : 0) {
    check_linear(options.linear);
    if (only_fold && *only_fold >= folds_)
      throw Error(fmt::format("--fold {}: the dataset has {} folds", *only_fold, folds_));
  }

  void run(const fs::path& folder) {
    const PeHead head = arm_.name == PeArm::distilled ? PeHead::linear : options_.head;
    if (!arm_.teacher.empty() && !derived() && head != PeHead::linear)
      throw Error("classifier.unlabelled taught needs classifier.head linear");
    if (derived() || head != PeHead::best) {
      run_head(head, folder);
      return;
    }
    const auto densenet = run_head(PeHead::densenet, folder / "densenet");
    const auto linear = run_head(PeHead::linear, folder / "linear");
    if (densenet && linear) take_better(*densenet, *linear, folder);
  }

 private:
  // Put together of trained classifiers.
  bool derived() const { return !arm_.trained.empty(); }

  // Nothing where this process writes nothing or where one fold alone was trained.
  std::optional<PeClassifierInfo> run_head(PeHead head, const fs::path& folder) {
    if (call_.processes->first() && !call_.dry_run) withdraw_model(folder / "model");
    PeClassifierInfo info{arm_.name, arm_.input, folds_};
    if (derived()) {
      if (only_fold_ || call_.dry_run || !call_.processes->first()) return std::nullopt;
      info = arm_.name == PeArm::transfer
                 ? transfer_classifier(arm_.trained.at(0), folder / "model")
                 : mean_of_arms(dataset_, arm_, runtime_, folder / "model");
    } else {
      if (!train_networks(head, folder)) return std::nullopt;
      info.head = head;
    }
    return with_scores(info, folder);
  }

  bool train_networks(PeHead head, const fs::path& folder) {
    bool writes = true;
    for (int64_t k = 0; k < std::max<int64_t>(folds_, 1); ++k) {
      if (only_fold_ && *only_fold_ != k) continue;
      const auto fold = folds_ > 0 ? std::optional(k) : std::nullopt;
      const Dataset own = fold ? dataset_.with_fold(k) : dataset_;
      const fs::path model = member_folder(folder / "model", fold);
      const bool wrote = head == PeHead::linear
                             ? train_linear_head(own, arm_, options_, runtime_, fold, model, call_)
                             : FoldTraining(own, arm_, options_, runtime_, fold)
                                   .run(member_folder(folder, fold), model, call_);
      writes = wrote && writes;
    }
    return writes && !only_fold_;
  }

  // Scores all cases and chooses the threshold by those of validation.
  PeClassifierInfo with_scores(PeClassifierInfo info, const fs::path& folder) {
    info.threshold = 0.5;
    info.threshold_rule = options_.threshold;
    write_classifier_info(folder / "model", info);
    PeClassifier classifier(folder / "model", select_device(runtime_));
    const CsvTable scores = classifier_scores(classifier, dataset_, arm_, "all");
    const ScoredCases validation = validation_of(scores);
    info.threshold = chosen_threshold(validation, options_);
    info.validation_auc = validation_area(validation);
    write_classifier_info(folder / "model", info);
    with_threshold(scores, info.threshold).write(folder / "scores.csv");
    publish_model(folder / "model", classifier_card(info, options_, folder), dataset_);
    return info;
  }

  void take_better(const PeClassifierInfo& densenet, const PeClassifierInfo& linear,
                   const fs::path& folder) {
    const bool keep_densenet = densenet.validation_auc > linear.validation_auc;
    PeClassifierInfo info = keep_densenet ? densenet : linear;
    info.other_head_auc = keep_densenet ? linear.validation_auc : densenet.validation_auc;
    const fs::path from = folder / word_of(info.head);
    fs::remove_all(folder / "model");
    fs::copy(from / "model", folder / "model", fs::copy_options::recursive);
    withdraw_model(folder / "model");
    write_classifier_info(folder / "model", info);
    publish_model(folder / "model", classifier_card(info, options_, from), dataset_);
    CsvTable::read(from / "scores.csv").write(folder / "scores.csv");
    if (info.validation_auc == 0 && info.other_head_auc == 0) {
      log_warning(
          "classifier/{}: without validation cases of both classes no head is known to be "
          "better; the {} head is taken",
          arm_.name, info.head);
      return;
    }
    log_info(
        "classifier/{}: the {} head is taken: AUC of validation cases {:.3f}, of the other "
        "{:.3f} ({:+.3f})",
        arm_.name, info.head, info.validation_auc, info.other_head_auc,
        info.validation_auc - info.other_head_auc);
  }

  const Dataset& dataset_;
  const ClassifierArm& arm_;
  const ClassifierOptions& options_;
  const RuntimeOptions& runtime_;
  const TrainCall& call_;
  std::optional<int64_t> only_fold_;
  int64_t folds_;
};

}  // namespace

void train_classifier(const Dataset& dataset, const ClassifierArm& arm,
                      const ClassifierOptions& options, const RuntimeOptions& runtime,
                      const fs::path& folder, const TrainCall& call,
                      std::optional<int64_t> only_fold) {
  ArmTraining(dataset, arm, options, runtime, call, only_fold).run(folder);
}

}  // namespace x2ctpa
