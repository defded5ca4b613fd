// The result as plain text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "evaluation/steps.h"

namespace x2ctpa {
namespace {

std::string image_text(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  std::string text = fmt::format(
      "Image quality, {} cases, HU clipped to [{:g}, {:g}], data range {:g} HU: "
      "median\n{:<33}{:<11}{:>12}{:>12}{:>12}{:>16}{:>16}\n",
      evaluation.images.cases.size(), window.min_hu, window.max_hu, window.max_hu - window.min_hu,
      "", "protocol", "right CXR", "wrong CXR", "mean volume", "p against wrong", "p against mean");
  for (const MetricSummary& s : evaluation.images.metrics) {
    const MetricName& name = metric_names[s.metric];
    const std::string label =
        name.unit[0] ? fmt::format("{} ({})", name.label, name.unit) : name.label;
    // fmt pads by code points of the label; the squared sign is one.
    text += fmt::format("{:<33}{:<11}", label, name.protocol);
    const int digits = name.unit[0] ? 2 : 3;
    for (const auto& d : s.sources) text += fmt::format("{:>12}", number_text(d.median, digits));
    for (int source : {source::wrong_cxr, source::mean_volume})
      text += fmt::format("{:>16}", s.tests[source] ? p_text(s.tests[source]->p_holm) : "–");
    text += "\n";
  }
  for (const FeatureMeasure& f : evaluation.features) {
    text += fmt::format("{:<33}{:<11}{:>12.4g}  ({} real, {} generated pictures)\n", f.label,
                        f.protocol, f.value, f.real, f.generated);
  }
  if (evaluation.images.diversity.cases > 0) {
    const Diversity& d = evaluation.images.diversity;
    text += fmt::format(
        "Samples of one X-ray differ by {:.1f} HU (MAE), MS-SSIM {:.3f}: median of "
        "{} cases\n",
        d.mae_hu.median, d.ms_ssim.median, d.cases);
  }
  for (const Memorisation& m : evaluation.memorisation) {
    const auto copies = std::count_if(m.cases.begin(), m.cases.end(),
                                      [](const MemorisationCase& c) { return c.suspicious; });
    text += fmt::format(
        "Memorisation, {} space: {} of {} generated volumes suspiciously near a "
        "training volume\n",
        m.space, copies, m.cases.size());
  }
  if (evaluation.inputs.reconstruction_psnr_db) {
    text += fmt::format("VQ-GAN reconstruction alone: {:.2f} dB PSNR, mean of {} held-out cases\n",
                        *evaluation.inputs.reconstruction_psnr_db,
                        evaluation.inputs.reconstruction_cases);
  }
  return text + "p: two-sided Wilcoxon signed-rank, Holm over all tests of this table\n";
}

std::string score_text(const Evaluation& evaluation) {
  std::string text = fmt::format(
      "\nPulmonary embolism (x2ctpa/1), percent at the validation threshold\n{:<16}{:>5}{:>5}  "
      "{:<30}{:>7}{:>7}{:>7}{:>7}{:>7}\n",
      "arm", "N", "PE", "AUC ± SD [95% DeLong]", "acc.", "spec.", "sens.", "PPV", "NPV");
  const auto cell = [](const Proportion& p) {
    return fmt::format("{:>7}", number_text(100 * p.value, 1));
  };
  for (const ArmResult& arm : evaluation.scores.arms) {
    std::string auc = arm.auc ? number_text(arm.auc->auc, 3) : "–";
    if (arm.bootstrap && !std::isnan(arm.bootstrap->standard_deviation))
      auc += fmt::format(" ± {:.3f}", arm.bootstrap->standard_deviation);
    if (arm.auc && arm.auc->interval)
      auc += fmt::format(" [{:.2f}-{:.2f}]", arm.auc->interval->low, arm.auc->interval->high);
    const Confusion& c = arm.confusion;
    text +=
        fmt::format("{:<16}{:>5}{:>5}  {:<30}", arm.title, arm.labels.size(), arm.positives, auc) +
        cell(c.accuracy()) + cell(c.specificity()) + cell(c.sensitivity()) +
        cell(c.positive_predictive_value()) + cell(c.negative_predictive_value()) + "\n";
  }
  for (const PublishedArm& p : published_arms) {
    text += fmt::format("{:<28}{:<30}{:>7}{:>7}{:>7}{:>7}{:>7}\n",
                        fmt::format("paper: {}", p.title), std::string(p.auc).substr(0, 17),
                        p.accuracy, p.specificity, p.sensitivity, p.ppv, p.npv);
  }
  text += fmt::format("±: standard deviation over {} bootstrap resamples of patients\n",
                      evaluation.options.bootstrap);
  for (const ArmComparison& c : evaluation.scores.comparisons) {
    if (c.delong) {
      text += fmt::format(
          "{} - {}: AUC difference {:+.3f}, DeLong p {} (Holm {}), N {}; a difference "
          "of {:.2f} would be found in 80% of such sets\n",
          c.first, c.second, c.delong->auc_a - c.delong->auc_b, p_text(c.delong->p),
          p_text(c.delong_p_holm), c.common, c.detectable_difference);
    }
  }
  return text;
}

}  // namespace

std::string number_text(double value, int digits) {
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  return std::isnan(value) ? "–" : fmt::format("{:.{}f}", value, digits);
}

std::string p_text(double p) {
  if (std::isnan(p)) return "–";
  return p < 0.001 ? fmt::format("{:.1e}", p) : fmt::format("{:.2g}", p);
}

std::string result_text(const Evaluation& evaluation) {
  std::string text;
  if (!evaluation.images.cases.empty()) text += image_text(evaluation);
  if (!evaluation.scores.arms.empty()) text += score_text(evaluation);
  return text;
}

}  // namespace x2ctpa
