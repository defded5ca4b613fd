// The PE experiment: AUC and decisions of each arm, tests between arms.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/data/studies/column_names.h"

namespace x2ctpa {

// X-ray2CTPA, table of PE classification on its test set; arXiv 2406.16109, npj Digital Medicine
// 2025 for the second AUC of the generated arm.
const std::array<PublishedArm, 4> published_arms{{
    {"ctpa",
     "True CTPA",
     "X-ray2CTPA paper",
     "0.827",
     "0.75",
     "0.92",
     {"76.92", "78.18", "73.91", "58.62", "87.76"}},
    {"cxr",
     "X-ray only",
     "X-ray2CTPA paper",
     "0.691",
     "0.54",
     "0.77",
     {"71.79", "70.91", "73.91", "51.52", "86.67"}},
    {"generated",
     "Generated CTPA",
     "X-ray2CTPA paper",
     "0.766",
     "0.70",
     "0.89",
     {"73.17", "72.88", "73.91", "51.52", "87.76"}},
    {"generated",
     "Generated CTPA",
     "X-ray2CTPA journal",
     "0.80",
     "0.72",
     "0.90",
     {"", "", "", "", ""}},
}};

std::string PublishedArm::auc_text() const {
  return fmt::format("{} [{}-{}]", auc, auc_low, auc_high);
}

namespace {

struct ValidationRows {
  std::vector<int> labels;
  std::vector<double> scores;
};

std::string shortened(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 5; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 5 ? text + ", …" : text;
}

double parse_score(const std::string& text) {
  size_t used = 0;
  try {
    const double value = std::stod(text, &used);
    return used == text.size() ? value : std::nan("");
  } catch (const std::exception&) {
    return std::nan("");
  }
}

// Why rows are left out. What was meant to be read and could not be is a failure.
const std::string no_label = "no label", bad_label = "label is neither 0 nor 1",
                  bad_score = "score is not a number";

// Sorts the rows into test and validation; what is left out becomes one problem per reason.
class TableReader {
 public:
  TableReader(const ScoreTable& source, const std::string& split, std::vector<Problem>& problems)
      : table_(CsvTable::read(source.file)), source_(source), split_(split), problems_(problems) {
    const OtherColumns others = settle_names(
        table_, {"study_id", "patient_id", "label", "score", "split", "fold", "threshold"});
    tell_of(others, source.file);
    table_.require_columns({"study_id", "label", "score"});
    if (!others.doubts.empty()) problems.push_back({"column not read", source.name, others.doubts});
  }

  void read(ArmResult& arm, ValidationRows& validation) {
    const bool has_splits = table_.has_column("split");
    if (has_splits) arm.split = split_;
    for (size_t row = 0; row < table_.size(); ++row) {
      const std::string split = table_.get(row, "split");
      const bool wanted = !has_splits || split_ == "all" || split == split_;
      if (!wanted && split != "val") continue;
      const std::string& study = table_.at(row, "study_id");
      const std::string& label_text = table_.at(row, "label");
      const double label = parse_score(label_text), score = parse_score(table_.at(row, "score"));
      const bool unlabelled = label_text.empty() || label_text == "unknown";
      if (label != 0 && label != 1) {
        if (wanted || !unlabelled) leave_out(unlabelled ? no_label : bad_label, study);
      } else if (!std::isfinite(score)) {
        leave_out(bad_score, study);
      } else if (!wanted) {
        validation.labels.push_back(label == 1);
        validation.scores.push_back(score);
      } else if (!seen_.emplace(study, row).second) {
        leave_out("duplicate study", study);
      } else {
        arm.studies.push_back(study);
        arm.patients.push_back(table_.get(row, "patient_id", study));
        arm.labels.push_back(label == 1);
        arm.scores.push_back(score);
        const std::string given = table_.get(row, "threshold");
        if (!given.empty()) thresholds_.insert(parse_score(given));
      }
    }
    for (const auto& [reason, names] : left_out_) {
      problems_.push_back(
          {reason, source_.name,
           fmt::format("{} left out: {}", counted(int64_t(names.size()), "row"), shortened(names)),
           reason == bad_label || reason == bad_score});
      arm.notes.push_back(
          fmt::format("{} left out: {}", counted(int64_t(names.size()), "row"), reason));
    }
  }

  // The table's own threshold, else Youden on validation rows, else the option's.
  void choose_threshold(ArmResult& arm, const ValidationRows& validation, double fallback) const {
    const bool two_classes =
        std::find(validation.labels.begin(), validation.labels.end(), 0) !=
            validation.labels.end() &&
        std::find(validation.labels.begin(), validation.labels.end(), 1) != validation.labels.end();
    if (thresholds_.size() == 1 && std::isfinite(*thresholds_.begin())) {
      arm.threshold = *thresholds_.begin();
      arm.threshold_origin = ThresholdOrigin::table;
      arm.threshold_source = "the table's column threshold";
    } else if (two_classes) {
      arm.threshold = youden_threshold(validation.labels, validation.scores);
      arm.threshold_origin = ThresholdOrigin::validation;
      arm.threshold_source =
          fmt::format("Youden on {}", counted(int64_t(validation.labels.size()), "validation row"));
    } else {
      arm.threshold = fallback;
      arm.threshold_source =
          "evaluate.threshold, as the table has neither one threshold nor validation rows of both "
          "classes";
    }
    if (thresholds_.size() > 1)
      arm.notes.push_back("several thresholds in the table; none of them was used");
  }

 private:
  void leave_out(const std::string& reason, const std::string& study) {
    left_out_[reason].push_back(study);
  }

  CsvTable table_;
  const ScoreTable& source_;
  std::string split_;
  std::vector<Problem>& problems_;
  std::map<std::string, size_t> seen_;
  std::map<std::string, std::vector<std::string>> left_out_;
  std::set<double> thresholds_;
};

// A share of one or two studies looks like a result and is none.
void add_decisions(ArmResult& arm) {
  const Confusion& c = arm.confusion;
  arm.decisions = {c.accuracy(), c.specificity(), c.sensitivity(), c.positive_predictive_value(),
                   c.negative_predictive_value()};
  std::string untold;
  for (int i = 0; i < decision::count; ++i) {
    Proportion& share = arm.decisions[size_t(i)];
    if (share.total >= fewest_studies) continue;
    share.value = share.interval.low = share.interval.high = std::nan("");
    untold +=
        fmt::format("{}{} ({})", untold.empty() ? "" : ", ", decision_keys[size_t(i)], share.total);
  }
  if (!untold.empty())
    arm.notes.push_back(
        fmt::format("no share of fewer than {} studies is told: {}", fewest_studies, untold));
}

void add_statistics(ArmResult& arm, const EvaluateOptions& options, int64_t seed) {
  arm.positives = std::count(arm.labels.begin(), arm.labels.end(), 1);
  arm.confusion = confusion_at(arm.labels, arm.scores, arm.threshold);
  add_decisions(arm);
  const bool probabilities =
      std::all_of(arm.scores.begin(), arm.scores.end(), [](double s) { return s >= 0 && s <= 1; });
  if (int64_t(arm.labels.size()) < fewest_studies) {
    arm.notes.push_back(fmt::format("no calibration of fewer than {} studies", fewest_studies));
  } else if (probabilities) {
    arm.calibration = calibration_of(arm.labels, arm.scores);
    arm.net_benefit = net_benefit_curve(arm.labels, arm.scores);
  } else {
    arm.notes.push_back("scores outside [0, 1] are no probabilities: no calibration");
  }
  const int64_t negatives = int64_t(arm.labels.size()) - arm.positives;
  if (arm.positives == 0 || negatives == 0) {
    arm.notes.push_back(fmt::format("one class only ({} positive, {} negative): AUC is not defined",
                                    arm.positives, negatives));
    return;
  }
  if (int64_t(arm.labels.size()) < fewest_studies) {
    arm.notes.push_back(fmt::format("no AUC of fewer than {} studies is told", fewest_studies));
    return;
  }
  arm.auc = delong_auc(arm.labels, arm.scores);
  arm.average_precision = average_precision(arm.labels, arm.scores);
  if (options.bootstrap > 0) {
    arm.bootstrap = bootstrap_auc(arm.labels, arm.scores, arm.patients, options.bootstrap, seed);
  }
  const auto [low, high] = std::minmax_element(arm.scores.begin(), arm.scores.end());
  if (*low == *high) {
    arm.notes.push_back(
        "all scores are equal: AUC 0.5 says that the arm does not separate anything");
  } else if (!arm.auc->interval) {
    arm.notes.push_back(
        "DeLong's variance is 0 or not defined (classes apart, or one case of a class): no DeLong "
        "interval");
  }
  if (std::min(arm.positives, negatives) < 30 && arm.auc->interval) {
    arm.notes.push_back(
        fmt::format("small set: {} of the rarer class; an AUC of this set is known to about ±{}",
                    counted(std::min(arm.positives, negatives), "case"),
                    number_text(1.96 * arm.auc->standard_error)));
  }
}

ArmComparison compare_arms(const ArmResult& a, const ArmResult& b, std::vector<Problem>& problems) {
  ArmComparison result;
  result.first = a.name;
  result.second = b.name;
  std::map<std::string, size_t> in_b;
  for (size_t j = 0; j < b.studies.size(); ++j) in_b.emplace(b.studies[j], j);
  std::vector<int> labels;
  std::vector<double> scores_a, scores_b;
  int64_t contradictions = 0;
  for (size_t i = 0; i < a.studies.size(); ++i) {
    const auto found = in_b.find(a.studies[i]);
    if (found == in_b.end()) continue;
    if (a.labels[i] != b.labels[found->second]) {
      ++contradictions;
      continue;
    }
    labels.push_back(a.labels[i]);
    scores_a.push_back(a.scores[i]);
    scores_b.push_back(b.scores[found->second]);
  }
  result.common = int64_t(labels.size());
  const std::string name = a.name + " / " + b.name;
  if (contradictions > 0) {
    problems.push_back({"contradicting labels", name,
                        fmt::format("{} left out of the paired test",
                                    counted(contradictions, "study", "studies"))});
  }
  const int64_t positives = std::count(labels.begin(), labels.end(), 1);
  if (positives > 0 && positives < result.common && result.common >= fewest_studies) {
    result.delong = delong_paired(labels, scores_a, scores_b);
    if (result.delong->standard_error > 0)  // equal scores tell nothing of other sets
      result.detectable_difference = detectable_difference(result.delong->standard_error);
  }
  if (result.common >= fewest_studies) result.ks = kolmogorov_smirnov(scores_a, scores_b);
  const size_t larger = std::max(a.studies.size(), b.studies.size());
  if (result.common == 0 && contradictions == 0) {
    problems.push_back({"other patients", name,
                        "the tables have no study in common: the arms "
                        "cannot be compared",
                        true});
  } else if (size_t(result.common) < larger) {
    problems.push_back({"unpaired studies", name,
                        fmt::format("{} of {} studies are in both tables", result.common, larger)});
  }
  return result;
}

void correct(std::vector<ArmComparison>& comparisons) {
  std::vector<double> delong, ks;
  for (const auto& c : comparisons) {
    delong.push_back(c.delong ? c.delong->p : std::nan(""));
    ks.push_back(c.ks ? c.ks->p : std::nan(""));
  }
  delong = holm_adjusted(delong);
  ks = holm_adjusted(ks);
  for (size_t i = 0; i < comparisons.size(); ++i) {
    comparisons[i].delong_p_holm = delong[i];
    comparisons[i].ks_p_holm = ks[i];
  }
}

// DeLong takes studies as independent, which those of one patient are not.
void remark_shared_patients(ArmResult& arm, std::vector<Problem>& problems) {
  std::map<std::string, int64_t> studies_of;
  for (const auto& patient : arm.patients) ++studies_of[patient];
  int64_t sharing = 0;
  for (const auto& [patient, count] : studies_of) sharing += count > 1 ? count : 0;
  if (sharing == 0) return;
  const std::string text = fmt::format(
      "{} of {} studies share a patient: DeLong's intervals and tests take studies as independent "
      "and are too narrow here; the bootstrap draws patients",
      sharing, arm.studies.size());
  problems.push_back({"several studies of a patient", arm.name, text});
  arm.notes.push_back(text);
}

// Labels of a run's tables against its dataset.
void check_labels(ArmResult& arm, const std::map<std::string, std::optional<int>>& labels,
                  std::vector<Problem>& problems) {
  if (labels.empty()) return;
  std::vector<std::string> strangers, contradictions;
  for (size_t i = 0; i < arm.studies.size(); ++i) {
    const auto found = labels.find(arm.studies[i]);
    if (found == labels.end()) {
      strangers.push_back(arm.studies[i]);
    } else if (found->second && *found->second != arm.labels[i]) {
      contradictions.push_back(arm.studies[i]);
    }
  }
  const auto add = [&](const char* kind, const std::vector<std::string>& names, const char* text) {
    if (names.empty()) return;
    problems.push_back({kind, arm.name,
                        fmt::format("{} of {} rows: {}; {}", names.size(), arm.studies.size(),
                                    shortened(names), text),
                        true});
    arm.notes.push_back(fmt::format("{}: {}", counted(int64_t(names.size()), "row"), text));
  };
  add("other patients", strangers, "studies that the dataset does not have");
  add("contradicting labels", contradictions, "labels that the dataset contradicts");
}

std::string arm_title(const std::string& name) {
  for (const auto& arm : published_arms) {
    if (name == arm.name) return arm.title;
  }
  if (name == "transfer") return "Transferred";
  if (name == "fused") return "Fused";
  if (name == "distilled") return "Distilled";
  return name;
}

}  // namespace

ScoreEvaluation evaluate_scores(const EvaluationInputs& inputs, const EvaluateOptions& options,
                                int64_t seed, std::vector<Problem>& problems) {
  ScoreEvaluation result;
  for (const ScoreTable& source : inputs.scores) {
    ArmResult arm;
    arm.name = source.name;
    arm.title = arm_title(source.name);
    arm.file = source.file.string();
    ValidationRows validation;
    TableReader reader(source, options.split, problems);
    reader.read(arm, validation);
    if (arm.studies.empty()) {
      problems.push_back({"no scores", arm.name,
                          fmt::format("{} has no usable row of split {}", arm.file, options.split),
                          true});
      continue;
    }
    check_labels(arm, inputs.labels, problems);
    remark_shared_patients(arm, problems);
    reader.choose_threshold(arm, validation, options.threshold);
    add_statistics(arm, options, seed);
    result.arms.push_back(std::move(arm));
  }
  for (size_t i = 0; i < result.arms.size(); ++i) {
    for (size_t j = i + 1; j < result.arms.size(); ++j) {
      result.comparisons.push_back(compare_arms(result.arms[i], result.arms[j], problems));
    }
  }
  correct(result.comparisons);
  return result;
}

}  // namespace x2ctpa
