// The result as plain text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"
#include "x2ctpa/core/counted.h"

namespace x2ctpa {
namespace {

// What two parts of the model make alone, beside the generated volume.
std::string references_text(const ImageEvaluation& images) {
  std::string text;
  // A model without a mean has no regression.
  std::vector<std::pair<int, const char*>> parts;
  for (const auto& part : {std::pair{source::regression, "regression"},
                           std::pair{source::autoencoder, "autoencoder"}}) {
    if (std::any_of(images.metrics.begin(), images.metrics.end(),
                    [&](const MetricSummary& s) { return s.sources[part.first].n > 0; }))
      parts.emplace_back(part);
  }
  for (const MetricSummary& s : images.metrics) {
    if (s.sources[source::autoencoder].n == 0) continue;
    if (text.empty()) {
      text = fmt::format("The model's parts alone: median\n{:<44}{:>12}", "", "right CXR");
      for (const auto& [source, label] : parts) text += fmt::format("{:>12}", label);
      for (const auto& [source, label] : parts)
        text += fmt::format("{:>16}", fmt::format("p, {}", label));
      text += "\n";
    }
    const MetricName& name = metric_names[s.metric];
    const int digits = name.unit[0] ? 2 : 3;
    text += fmt::format("{:<44}",
                        name.unit[0] ? fmt::format("{} ({})", name.label, name.unit) : name.label);
    text += fmt::format("{:>12}", number_text(s.sources[source::generated].median, digits));
    for (const auto& [source, label] : parts)
      text += fmt::format("{:>12}", number_text(s.sources[source].median, digits));
    for (const auto& [source, label] : parts)
      text += fmt::format("{:>16}", s.tests[source] ? p_text(s.tests[source]->p_holm) : "–");
    text += "\n";
  }
  if (images.truth_projection.n > 0) {
    text += fmt::format("Correlation of the true volume's own DRR and CXR: {}\n",
                        number_text(images.truth_projection.median, 3));
  }
  return text;
}

std::string lesions_text(const LesionEvaluation& lesions) {
  if (lesions.cases.empty()) return {};
  std::string text =
      fmt::format("Clots, {}: median\n{:<33}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n",
                  counted(int64_t(lesions.cases.size()), "case"), "", "true volume", "right CXR",
                  "wrong CXR", "mean volume", "regression", "autoencoder");
  const LesionGroup& all = lesions.groups.front();
  const auto add = [&](const char* label, lesion::Index value, int digits) {
    text += fmt::format("{:<33}{:>12}", label, number_text(all.truth[value].median, digits));
    for (const auto& of_source : all.sources)
      text += fmt::format("{:>12}", number_text(of_source[value].median, digits));
    text += "\n";
  };
  add("Contrast at the clots (HU)", lesion::contrast, 1);
  add("Share of the true contrast", lesion::preserved, 3);
  add("Detectability", lesion::detectability, 3);
  add("Dice with the clots", lesion::dice, 3);
  return text;
}

std::string image_table_text(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  const auto baselines = measured_baselines(evaluation.images);
  std::vector<source::Index> columns{source::generated};
  columns.insert(columns.end(), baselines.begin(), baselines.end());
  const auto brief = [&](source::Index source) {
    return source_label(evaluation.inputs, source).brief;
  };
  const int64_t cases = int64_t(evaluation.images.cases.size());
  std::string text = fmt::format(
      "Image quality, {}, HU clipped to [{:g}, {:g}], data range {:g} HU: median\n{:<44}",
      counted(cases, "case"), window.min_hu, window.max_hu, window.max_hu - window.min_hu, "");
  for (const auto source : columns) text += fmt::format("{:>12}", brief(source));
  for (const auto source : baselines)
    text += fmt::format("{:>16}", fmt::format("p, {}", brief(source)));
  text += "\n";
  const auto line = [](const MetricName& name) {
    // fmt pads by code points of the label; the squared sign is one.
    return fmt::format("{:<33}{:<11}",
                       name.unit[0] ? fmt::format("{} ({})", name.label, name.unit) : name.label,
                       name.protocol);
  };
  for (const MetricSummary& s : evaluation.images.metrics) {
    const MetricName& name = metric_names[s.metric];
    text += line(name);
    for (const auto source : columns)
      text += fmt::format("{:>12}", number_text(s.sources[source].median, name.unit[0] ? 2 : 3));
    for (const auto source : baselines)
      text += fmt::format("{:>16}", s.tests[source] ? p_text(s.tests[source]->p_holm) : "–");
    if (s.sources[source::generated].n < cases)
      text += fmt::format("  (of {})", counted(s.sources[source::generated].n, "case"));
    text += "\n";
  }
  for (const auto& [metric, reason] : evaluation.images.untold)
    text += fmt::format("{}{:>12}  ({})\n", line(metric_names[metric]), "–", reason);
  return text;
}

std::string image_text(const Evaluation& evaluation) {
  std::string text = image_table_text(evaluation);
  text += references_text(evaluation.images) + lesions_text(evaluation.images.lesions);
  for (const FeatureMeasure& f : evaluation.features) {
    text += fmt::format("{:<33}{:<11}{:>12.4g}  ({} real, {} generated pictures)\n", f.label,
                        f.protocol, f.value, f.real, f.generated);
  }
  if (evaluation.images.diversity.cases > 0) {
    const Diversity& d = evaluation.images.diversity;
    text += fmt::format(
        "Samples of one X-ray differ by {:.1f} HU (MAE), MS-SSIM {:.3f}: median of {}\n",
        d.mae_hu.median, d.ms_ssim.median, counted(d.cases, "case"));
  }
  for (const Memorisation& m : evaluation.memorisation) {
    const auto copies = std::count_if(m.cases.begin(), m.cases.end(),
                                      [](const MemorisationCase& c) { return c.suspicious; });
    text += fmt::format("Memorisation, {} space: {} of {} suspiciously near a training volume\n",
                        m.space, copies, counted(int64_t(m.cases.size()), "generated volume"));
  }
  if (evaluation.inputs.reconstruction_psnr_db) {
    text += fmt::format("Reconstruction by the autoencoder alone: {:.2f} dB PSNR, mean of {}\n",
                        *evaluation.inputs.reconstruction_psnr_db,
                        counted(evaluation.inputs.reconstruction_cases, "held-out case"));
  }
  const bool tested = std::any_of(evaluation.images.metrics.begin(),
                                  evaluation.images.metrics.end(), [](const MetricSummary& m) {
                                    return std::any_of(m.tests.begin(), m.tests.end(),
                                                       [](const auto& test) { return test; });
                                  });
  if (tested) {
    text += fmt::format(
        "p: two-sided Wilcoxon signed-rank, Holm over all tests of a table; none for fewer than {} "
        "cases\n",
        fewest_pairs);
  }
  return text;
}

std::string score_text(const Evaluation& evaluation) {
  std::string text = fmt::format(
      "\nPulmonary embolism (x2ctpa/1), percent at {}\n{:<16}{:>5}{:>5}  "
      "{:<30}{:>7}{:>7}{:>7}{:>7}{:>7}\n",
      threshold_text(evaluation.scores), "arm", "N", "PE", "AUC ± SD [95% DeLong]", "acc.", "spec.",
      "sens.", "PPV", "NPV");
  const auto cell = [](const Proportion& p) {
    return fmt::format("{:>7}", number_text(100 * p.value, 1));
  };
  for (const ArmResult& arm : evaluation.scores.arms) {
    std::string auc = arm.auc ? number_text(arm.auc->auc, 3) : "–";
    if (arm.bootstrap && !std::isnan(arm.bootstrap->standard_deviation))
      auc += fmt::format(" ± {:.3f}", arm.bootstrap->standard_deviation);
    if (arm.auc && arm.auc->interval)
      auc += fmt::format(" [{:.2f}-{:.2f}]", arm.auc->interval->low, arm.auc->interval->high);
    text +=
        fmt::format("{:<16}{:>5}{:>5}  {:<30}", arm.title, arm.labels.size(), arm.positives, auc);
    for (const Proportion& share : arm.decisions) text += cell(share);
    text += "\n";
  }
  for (const PublishedArm& p : shown_published(evaluation.options)) {
    text += fmt::format("{:<28}{:<30}", fmt::format("paper: {}", p.title), p.auc_text());
    for (const char* share : p.decisions) text += fmt::format("{:>7}", share);
    text += "\n";
  }
  if (std::any_of(evaluation.scores.arms.begin(), evaluation.scores.arms.end(),
                  [](const ArmResult& arm) { return arm.bootstrap.has_value(); })) {
    text += fmt::format("±: standard deviation over {} of patients\n",
                        counted(evaluation.options.bootstrap, "bootstrap resample"));
  }
  for (const ArmComparison& c : evaluation.scores.comparisons) {
    if (c.delong) {
      text += fmt::format(
          "{} - {}: AUC difference {:+.3f}, DeLong p {} (Holm {}), N {}{}\n", c.first, c.second,
          c.delong->auc_a - c.delong->auc_b, p_text(c.delong->p), p_text(c.delong_p_holm), c.common,
          std::isnan(c.delong->p) ? " (too few of a class for a p)"
          : std::isnan(c.detectable_difference)
              ? ""
              : fmt::format("; a difference of {:.2f} would be found in 80% of such sets",
                            c.detectable_difference));
    }
  }
  return text;
}

}  // namespace

std::string result_text(const Evaluation& evaluation) {
  std::string text;
  if (!evaluation.images.cases.empty()) text += image_text(evaluation);
  if (!evaluation.scores.arms.empty()) text += score_text(evaluation);
  return text;
}

}  // namespace x2ctpa
