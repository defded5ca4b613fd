// metrics.json; docs/metrics.md describes its keys.
#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluation/steps.h"

namespace x2ctpa {
namespace {

using nlohmann::json;

json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }
json interval_json(const Interval& i) { return json::array({number(i.low), number(i.high)}); }

json distribution_json(const Distribution& d) {
  return {{"n", d.n},
          {"mean", number(d.mean)},
          {"sd", number(d.sd)},
          {"median", number(d.median)},
          {"q1", number(d.q1)},
          {"q3", number(d.q3)},
          {"min", number(d.min)},
          {"max", number(d.max)}};
}

json test_json(const BaselineTest& test) {
  const WilcoxonResult& w = test.wilcoxon;
  return {{"n", w.pairs},
          {"zeros", w.zeros},
          {"statistic", number(w.statistic)},
          {"p", number(w.p)},
          {"p_holm", number(test.p_holm)},
          {"median_difference", number(w.median_difference)},
          {"method", w.method}};
}

json proportion_json(const Proportion& p) {
  return {{"value", number(p.value)},
          {"successes", p.successes},
          {"total", p.total},
          {"interval", interval_json(p.interval)}};
}

json images_json(const Evaluation& evaluation) {
  json metrics = json::object();
  for (const MetricSummary& summary : evaluation.images.metrics) {
    const MetricName& name = metric_names[summary.metric];
    json entry = {{"unit", name.unit}, {"protocol", name.protocol}, {"better", name.better}};
    for (int source = 0; source < source::count; ++source) {
      entry[source_keys[source]] = distribution_json(summary.sources[source]);
      if (summary.tests[source])
        entry["generated_against_" + std::string(source_keys[source])] =
            test_json(*summary.tests[source]);
    }
    metrics[name.key] = entry;
  }
  const Diversity& d = evaluation.images.diversity;
  json diversity = nullptr;
  if (d.cases > 0) {
    diversity = {{"cases", d.cases},
                 {"protocol", "x2ctpa/1"},
                 {"mae_hu", distribution_json(d.mae_hu)},
                 {"ms_ssim_3d", distribution_json(d.ms_ssim)}};
  }
  return {{"cases", evaluation.images.cases.size()},
          {"training_volumes", evaluation.images.training_volumes},
          {"metrics", metrics},
          {"diversity", diversity}};
}

json features_json(const Evaluation& evaluation) {
  json out = json::object();
  for (const FeatureMeasure& f : evaluation.features) {
    out[f.key] = {{"value", number(f.value)},
                  {"protocol", f.protocol},
                  {"pictures_real", f.real},
                  {"pictures_generated", f.generated}};
  }
  return out;
}

json memorisation_json(const Evaluation& evaluation) {
  json out = json::object();
  for (const Memorisation& m : evaluation.memorisation) {
    json cases = json::array();
    int64_t suspicious = 0;
    for (const MemorisationCase& c : m.cases) {
      suspicious += c.suspicious;
      cases.push_back({{"case", c.case_id},
                       {"nearest_training", c.nearest},
                       {"generated", number(c.generated)},
                       {"real", number(c.real)},
                       {"suspicious", c.suspicious}});
    }
    out[m.space] = {
        {"distance", m.distance},
        {"training", m.training},
        {"suspicious", suspicious},
        {"cases", cases},
        {"p", m.test ? number(m.test->p) : json(nullptr)},
        {"median_difference", m.test ? number(m.test->median_difference) : json(nullptr)}};
  }
  return out;
}

json calibration_json(const Calibration& c) {
  json bins = json::array();
  for (const ReliabilityBin& bin : c.bins) {
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"n", bin.cases},
                    {"mean_score", bin.cases ? json(bin.mean_score) : json(nullptr)},
                    {"observed", proportion_json(bin.observed)}});
  }
  json recalibration = nullptr;
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

json net_benefit_json(const std::vector<NetBenefit>& curve) {
  json out = json::array();
  for (const NetBenefit& point : curve)
    out.push_back({point.threshold, point.model, point.treat_all});
  return out;
}

json arm_json(const ArmResult& arm) {
  const Confusion& c = arm.confusion;
  json entry = {{"file", arm.file},
                {"n", arm.labels.size()},
                {"positives", arm.positives},
                {"threshold", number(arm.threshold)},
                {"threshold_source", arm.threshold_source},
                {"true_positive", c.true_positive},
                {"true_negative", c.true_negative},
                {"false_positive", c.false_positive},
                {"false_negative", c.false_negative},
                {"accuracy", proportion_json(c.accuracy())},
                {"specificity", proportion_json(c.specificity())},
                {"sensitivity", proportion_json(c.sensitivity())},
                {"ppv", proportion_json(c.positive_predictive_value())},
                {"npv", proportion_json(c.negative_predictive_value())},
                {"notes", arm.notes}};
  entry["auc"] = arm.auc ? number(arm.auc->auc) : json(nullptr);
  entry["auc_standard_error"] = arm.auc ? number(arm.auc->standard_error) : json(nullptr);
  entry["auc_delong"] =
      arm.auc && arm.auc->interval ? interval_json(*arm.auc->interval) : json(nullptr);
  entry["auc_bootstrap"] = arm.bootstrap ? interval_json(arm.bootstrap->interval) : json(nullptr);
  entry["patients"] = arm.bootstrap ? json(arm.bootstrap->patients) : json(nullptr);
  entry["average_precision"] = arm.average_precision ? json(*arm.average_precision) : json(nullptr);
  entry["calibration"] = arm.calibration ? calibration_json(*arm.calibration) : json(nullptr);
  entry["net_benefit"] = net_benefit_json(arm.net_benefit);
  return entry;
}

json comparison_json(const ArmComparison& c) {
  json entry = {{"first", c.first}, {"second", c.second}, {"n", c.common}};
  entry["detectable_auc_difference"] = c.delong ? number(c.detectable_difference) : json(nullptr);
  entry["delong"] = !c.delong ? json(nullptr)
                              : json{{"difference", c.delong->auc_a - c.delong->auc_b},
                                     {"interval", interval_json(c.delong->interval)},
                                     {"z", number(c.delong->z)},
                                     {"p", number(c.delong->p)},
                                     {"p_holm", number(c.delong_p_holm)}};
  entry["kolmogorov_smirnov"] = !c.ks ? json(nullptr)
                                      : json{{"statistic", c.ks->statistic},
                                             {"p", number(c.ks->p)},
                                             {"p_holm", number(c.ks_p_holm)},
                                             {"exact", c.ks->exact}};
  return entry;
}

json classification_json(const Evaluation& evaluation) {
  json arms = json::object(), comparisons = json::array(), published = json::object();
  for (const auto& arm : evaluation.scores.arms) arms[arm.name] = arm_json(arm);
  for (const auto& c : evaluation.scores.comparisons) comparisons.push_back(comparison_json(c));
  for (const auto& p : published_arms) {
    published[p.name] = {{"auc", p.auc},
                         {"accuracy_percent", p.accuracy},
                         {"specificity_percent", p.specificity},
                         {"sensitivity_percent", p.sensitivity},
                         {"ppv_percent", p.ppv},
                         {"npv_percent", p.npv}};
  }
  return {{"protocol", "x2ctpa/1"},
          {"arms", arms},
          {"comparisons", comparisons},
          {"published", published}};
}

json protocol_json(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  return {{"window_hu", {window.min_hu, window.max_hu}},
          {"window_source", evaluation.inputs.window_source},
          {"data_range_hu", window.max_hu - window.min_hu},
          {"protocols", evaluation.options.protocols},
          {"split", evaluation.options.split},
          {"seed", evaluation.seed},
          {"bootstrap_resamples", evaluation.options.bootstrap},
          {"ssim",
           "Gaussian sigma 1.5, 11 taps, K1 0.01, K2 0.03, population covariance, border of 5 left "
           "out"}};
}

}  // namespace

json metrics_json(const Evaluation& evaluation) {
  json problems = json::array(), provenance = json::object();
  for (const Problem& p : evaluation.problems) {
    problems.push_back(
        {{"kind", p.kind}, {"name", p.name}, {"detail", p.detail}, {"failure", p.failure}});
  }
  for (const auto& [name, value] : evaluation.provenance) provenance[name] = value;
  json reconstruction = nullptr;
  if (evaluation.inputs.reconstruction_psnr_db) {
    reconstruction = {{"psnr_db_mean", *evaluation.inputs.reconstruction_psnr_db},
                      {"cases", evaluation.inputs.reconstruction_cases}};
  }
  return {{"schema", "x2ctpa.evaluation/2"},
          {"protocol", protocol_json(evaluation)},
          {"images", images_json(evaluation)},
          {"features", features_json(evaluation)},
          {"memorisation", memorisation_json(evaluation)},
          {"classification", classification_json(evaluation)},
          {"vqgan_reconstruction", reconstruction},
          {"problems", problems},
          {"provenance", provenance}};
}

}  // namespace x2ctpa
