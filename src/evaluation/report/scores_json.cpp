// The PE experiment in metrics.json; docs/metrics.md describes its keys.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

ordered_json proportion_json(const Proportion& p) {
  return {{"value", number_json(p.value)},
          {"successes", p.successes},
          {"total", p.total},
          {"interval", interval_json(p.interval)}};
}

ordered_json calibration_json(const Calibration& c) {
  ordered_json bins = ordered_json::array();
  for (const ReliabilityBin& bin : c.bins) {
    bins.push_back(
        {{"low", bin.low},
         {"high", bin.high},
         {"n", bin.cases},
         {"mean_score", bin.cases ? ordered_json(bin.mean_score) : ordered_json(nullptr)},
         {"observed", proportion_json(bin.observed)}});
  }
  ordered_json recalibration = nullptr;
  if (c.recalibration) {
    const Recalibration& r = *c.recalibration;
    recalibration = {{"slope", r.slope},
                     {"slope_error", r.slope_error},
                     {"intercept", r.intercept},
                     {"intercept_error", r.intercept_error},
                     {"in_the_large", r.in_the_large}};
  }
  return {{"expected_error", c.expected_error}, {"brier", c.brier},
          {"reliability", c.reliability},       {"resolution", c.resolution},
          {"uncertainty", c.uncertainty},       {"within_bins", c.within_bins},
          {"recalibration", recalibration},     {"bins", bins}};
}

// What the ROC chart draws: the curve, and the pointwise band of the bootstrap.
ordered_json roc_json(const ArmResult& arm) {
  ordered_json points = ordered_json::array(), band = ordered_json::array();
  for (const RocPoint& p : roc_curve(arm.labels, arm.scores))
    points.push_back({rounded_json(p.false_positive_rate), rounded_json(p.true_positive_rate)});
  if (arm.bootstrap) {
    for (const RocBandPoint& p : arm.bootstrap->band) {
      band.push_back({p.false_positive_rate, rounded_json(p.sensitivity.low),
                      rounded_json(p.sensitivity.high)});
    }
  }
  return {{"points", points}, {"band", band}};
}

// Ten bins over [0, 1], or over the range of scores that are no probabilities.
ordered_json score_histogram_json(const ArmResult& arm) {
  constexpr int bins = 10;
  const auto [low, high] = std::minmax_element(arm.scores.begin(), arm.scores.end());
  const bool unit = *low >= 0 && *high <= 1;
  const double first = unit ? 0 : *low, width = unit ? 0.1 : std::max((*high - *low) / bins, 1e-12);
  std::vector<int64_t> positive(bins, 0), negative(bins, 0);
  for (size_t i = 0; i < arm.scores.size(); ++i) {
    const int bin = std::clamp(int((arm.scores[i] - first) / width), 0, bins - 1);
    ++(arm.labels[i] ? positive : negative)[bin];
  }
  std::vector<double> centres;
  for (int bin = 0; bin < bins; ++bin) centres.push_back(first + (bin + 0.5) * width);
  return {{"centres", centres}, {"positive", positive}, {"negative", negative}};
}

ordered_json net_benefit_json(const std::vector<NetBenefit>& curve) {
  ordered_json out = ordered_json::array();
  for (const NetBenefit& point : curve)
    out.push_back({point.threshold, point.model, point.treat_all});
  return out;
}

ordered_json arm_json(const ArmResult& arm) {
  const Confusion& c = arm.confusion;
  ordered_json entry = {
      {"title", arm.title},
      {"file", arm.file},
      {"split", arm.split.empty() ? ordered_json(nullptr) : ordered_json(arm.split)},
      {"n", arm.labels.size()},
      {"positives", arm.positives},
      {"threshold", number_json(arm.threshold)},
      {"threshold_source", arm.threshold_source},
      {"true_positive", c.true_positive},
      {"true_negative", c.true_negative},
      {"false_positive", c.false_positive},
      {"false_negative", c.false_negative},
      {"notes", arm.notes}};
  for (size_t i = 0; i < decision_keys.size(); ++i)
    entry[decision_keys[i]] = proportion_json(arm.decisions[i]);
  entry["auc"] = arm.auc ? number_json(arm.auc->auc) : ordered_json(nullptr);
  entry["auc_standard_error"] =
      arm.auc ? number_json(arm.auc->standard_error) : ordered_json(nullptr);
  entry["auc_delong"] =
      arm.auc && arm.auc->interval ? interval_json(*arm.auc->interval) : ordered_json(nullptr);
  entry["auc_bootstrap"] =
      arm.bootstrap ? interval_json(arm.bootstrap->interval) : ordered_json(nullptr);
  entry["auc_bootstrap_sd"] =
      arm.bootstrap ? number_json(arm.bootstrap->standard_deviation) : ordered_json(nullptr);
  entry["patients"] = arm.bootstrap ? ordered_json(arm.bootstrap->patients) : ordered_json(nullptr);
  entry["average_precision"] =
      arm.average_precision ? ordered_json(*arm.average_precision) : ordered_json(nullptr);
  entry["calibration"] =
      arm.calibration ? calibration_json(*arm.calibration) : ordered_json(nullptr);
  entry["net_benefit"] = net_benefit_json(arm.net_benefit);
  entry["roc"] = arm.auc ? roc_json(arm) : ordered_json(nullptr);
  entry["score_histogram"] = score_histogram_json(arm);
  return entry;
}

ordered_json comparison_json(const ArmComparison& c) {
  ordered_json entry = {{"first", c.first}, {"second", c.second}, {"n", c.common}};
  entry["detectable_auc_difference"] =
      c.delong ? number_json(c.detectable_difference) : ordered_json(nullptr);
  entry["delong"] = !c.delong ? ordered_json(nullptr)
                              : ordered_json{{"difference", c.delong->auc_a - c.delong->auc_b},
                                             {"interval", interval_json(c.delong->interval)},
                                             {"z", number_json(c.delong->z)},
                                             {"p", number_json(c.delong->p)},
                                             {"p_holm", number_json(c.delong_p_holm)}};
  entry["kolmogorov_smirnov"] = !c.ks ? ordered_json(nullptr)
                                      : ordered_json{{"statistic", c.ks->statistic},
                                                     {"p", number_json(c.ks->p)},
                                                     {"p_holm", number_json(c.ks_p_holm)},
                                                     {"exact", c.ks->exact}};
  return entry;
}

}  // namespace

ordered_json classification_json(const Evaluation& evaluation) {
  ordered_json arms = ordered_json::object(), comparisons = ordered_json::array(),
               published = ordered_json::object();
  for (const auto& arm : evaluation.scores.arms) arms[arm.name] = arm_json(arm);
  for (const auto& c : evaluation.scores.comparisons) comparisons.push_back(comparison_json(c));
  for (const PublishedArm& p : shown_published(evaluation.options)) {
    if (published.contains(p.name)) {  // the journal's figure beside the preprint's
      published[p.name]["auc"] =
          published[p.name]["auc"].get<std::string>() + "; journal " + p.auc_text();
      continue;
    }
    ordered_json& row = published[p.name] = {{"title", p.title}, {"auc", p.auc_text()}};
    for (size_t i = 0; i < decision_keys.size(); ++i)
      row[fmt::format("{}_percent", decision_keys[i])] = p.decisions[i];
  }
  return {{"protocol", "x2ctpa/1"},
          {"arms", arms},
          {"comparisons", comparisons},
          {"published", published}};
}

}  // namespace x2ctpa
