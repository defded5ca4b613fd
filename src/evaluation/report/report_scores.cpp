// The classification part of the report.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "evaluation/report/html.h"
#include "evaluation/steps.h"

namespace x2ctpa {
namespace {

std::string proportion_cell(const Proportion& p) {
  if (std::isnan(p.value)) return "–";
  return fmt::format("{:.1f}<small> [{:.0f}, {:.0f}]</small>", 100 * p.value, 100 * p.interval.low,
                     100 * p.interval.high);
}

std::string auc_cell(const ArmResult& arm) {
  if (!arm.auc) return "–";
  std::string text = number_text(arm.auc->auc, 3);
  text += arm.auc->interval ? fmt::format("<small> [{:.2f}, {:.2f}]</small>",
                                          arm.auc->interval->low, arm.auc->interval->high)
                            : std::string();
  if (arm.bootstrap)
    text += fmt::format("<small>bootstrap [{:.2f}, {:.2f}]</small>", arm.bootstrap->interval.low,
                        arm.bootstrap->interval.high);
  return text;
}

// A second published figure goes below the first.
std::string published_auc(const PublishedArm& arm) {
  const std::string text = arm.auc;
  const size_t end = text.find("; ");
  if (end == std::string::npos) return text;
  return fmt::format("{}<small>{}</small>", text.substr(0, end), text.substr(end + 2));
}

std::string comparison_table(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows;
  for (const ArmComparison& c : evaluation.scores.comparisons) {
    rows.push_back(
        {html_escaped(c.first + " − " + c.second), std::to_string(c.common),
         c.delong ? fmt::format("{:+.3f}<small> [{:.2f}, {:.2f}]</small>",
                                c.delong->auc_a - c.delong->auc_b, c.delong->interval.low,
                                c.delong->interval.high)
                  : "–",
         c.delong ? fmt::format("{}<small> (Holm {})</small>", p_text(c.delong->p),
                                p_text(c.delong_p_holm))
                  : "–",
         c.delong ? number_text(c.detectable_difference) : "–",
         c.ks ? number_text(c.ks->statistic, 3) : "–",
         c.ks ? fmt::format("{}<small> (Holm {})</small>", p_text(c.ks->p), p_text(c.ks_p_holm))
              : "–"});
  }
  if (rows.empty()) return {};
  return "<h3>Between arms</h3>" +
         html_table({"Arms", "N", "AUC difference [95%]", "p, DeLong", "Detectable", "KS distance",
                     "p, KS"},
                    rows) +
         html_protocol(
             "Paired DeLong test on the studies that both arms scored; two-sample "
             "Kolmogorov-Smirnov test between the scores of the same studies, as in the paper. "
             "Two-sided. Detectable: the difference that DeLong's test would find in 80% of sets "
             "like "
             "this one.");
}

std::string calibration_table(const Evaluation& evaluation) {
  std::vector<std::vector<std::string>> rows;
  for (const ArmResult& arm : evaluation.scores.arms) {
    if (!arm.calibration) continue;
    const Calibration& c = *arm.calibration;
    const auto with_error = [](double value, double error) {
      return fmt::format("{}<small> ±{}</small>", number_text(value), number_text(1.96 * error));
    };
    rows.push_back(
        {html_escaped(arm.title),
         arm.average_precision ? number_text(*arm.average_precision, 3) : "–",
         number_text(c.expected_error, 3), number_text(c.brier, 3), number_text(c.reliability, 4),
         number_text(c.resolution, 4), number_text(c.uncertainty, 4),
         c.recalibration ? with_error(c.recalibration->slope, c.recalibration->slope_error) : "–",
         c.recalibration ? with_error(c.recalibration->intercept, c.recalibration->intercept_error)
                         : "–"});
  }
  if (rows.empty()) return {};
  return "<h3>Calibration</h3>" +
         html_table({"Arm", "Average precision", "ECE", "Brier", "Reliability", "Resolution",
                     "Uncertainty", "Slope [95%]", "Intercept [95%]"},
                    rows) +
         html_protocol(
             "ECE and the parts of the Brier score over ten bins of equal width (Brier = "
             "reliability − "
             "resolution + uncertainty + spread inside bins). Slope and intercept: logistic "
             "regression "
             "of PE on the logit of the score; 1 and 0 are perfect. Net benefit: true positives "
             "less "
             "false positives weighted by the odds of the threshold, per study. Bars of the "
             "calibration chart: 95% Wilson intervals.");
}

std::string chart(const std::string& title, const std::string& id) {
  return fmt::format(
      "<div class=\"chart\"><h3>{}</h3><div class=\"canvas square\"><canvas "
      "id=\"{}\"></canvas></div></div>",
      html_escaped(title), id);
}

std::string arm_rows(const Evaluation& evaluation, std::string& notes) {
  std::vector<std::vector<std::string>> rows;
  for (const ArmResult& arm : evaluation.scores.arms) {
    const Confusion& c = arm.confusion;
    rows.push_back(
        {html_escaped(arm.title), fmt::format("{} / {}", arm.labels.size(), arm.positives),
         auc_cell(arm), proportion_cell(c.accuracy()), proportion_cell(c.specificity()),
         proportion_cell(c.sensitivity()), proportion_cell(c.positive_predictive_value()),
         proportion_cell(c.negative_predictive_value())});
    notes += fmt::format("<li>{}: threshold {:.4g}, {}.", html_escaped(arm.title), arm.threshold,
                         html_escaped(arm.threshold_source));
    for (const auto& note : arm.notes) notes += " " + html_escaped(note) + ".";
    notes += "</li>";
    for (const PublishedArm& p : published_arms) {
      if (arm.name == p.name)
        rows.push_back({fmt::format("<i>{}, paper</i>", p.title), "", published_auc(p), p.accuracy,
                        p.specificity, p.sensitivity, p.ppv, p.npv});
    }
  }
  return html_table({"Arm", "N / PE", "AUC [95%]", "Accuracy %", "Specificity %", "Sensitivity %",
                     "PPV %", "NPV %"},
                    rows);
}

}  // namespace

std::string html_scores(const Evaluation& evaluation) {
  if (evaluation.scores.arms.empty()) {
    return "<section><h2>Pulmonary embolism</h2><p>There are no score tables: nothing was "
           "classified.</p></section>\n";
  }
  std::string notes;
  std::string html = "<section><h2>Pulmonary embolism</h2>\n" + arm_rows(evaluation, notes);
  html += html_protocol(fmt::format(
      "Protocol x2ctpa/1. Split {}. AUC: Mann-Whitney, ties one half; interval: DeLong on the "
      "logit scale, and {} "
      "bootstrap resamples of patients, stratified by PE (seed {}). "
      "Proportions: 95% Wilson intervals; a score at or above the threshold is positive. Paper: "
      "figures printed in X-ray2CTPA (arXiv 2406.16109), on its own data.",
      html_escaped(evaluation.options.split), evaluation.options.bootstrap, evaluation.seed));
  html += fmt::format("<ul class=\"notes\">{}</ul>", notes);
  html += "<div class=\"charts\">" + chart("ROC", "roc");
  for (size_t i = 0; i < evaluation.scores.arms.size(); ++i)
    html += chart("Scores, " + evaluation.scores.arms[i].title, fmt::format("scores{}", i));
  const bool probabilities =
      std::any_of(evaluation.scores.arms.begin(), evaluation.scores.arms.end(),
                  [](const ArmResult& arm) { return arm.calibration.has_value(); });
  if (probabilities) html += chart("Calibration", "calibration") + chart("Net benefit", "benefit");
  return html + "</div>\n" +
         html_protocol(
             "ROC bands: 95% of the bootstrap, pointwise. All charts of this section: the "
             "studies and intervals of the table above.") +
         calibration_table(evaluation) + comparison_table(evaluation) + "</section>\n";
}

}  // namespace x2ctpa
