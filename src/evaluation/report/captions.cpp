// What the report says below its tables and charts.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"
#include "x2ctpa/core/counted.h"

namespace x2ctpa {
namespace {

std::string data_range_text(const Evaluation& evaluation) {
  const auto& w = evaluation.inputs.window;
  return fmt::format("HU clipped to [{:g}, {:g}] (window of {}), data range {:g} HU, no mask",
                     w.min_hu, w.max_hu, evaluation.inputs.window_source, w.max_hu - w.min_hu);
}

bool is_measured(const ImageEvaluation& images, metric::Index wanted) {
  return std::any_of(images.metrics.begin(), images.metrics.end(),
                     [&](const MetricSummary& summary) { return summary.metric == wanted; });
}

// Which instrument found the lungs and the arteries.
std::string instruments_text(const ImageEvaluation& images) {
  const int64_t cases = int64_t(images.cases.size());
  std::string text;
  if (is_measured(images, metric::lung_dice)) {
    text += fmt::format(
        " Lungs: {}.",
        images.lung_masks == 0 ? "found as air in either volume"
        : images.lung_masks == cases
            ? "by the true volume's mask, in the other volume below -500 HU within 2 voxels of it"
            : fmt::format(
                  "by the true volume's mask in {} of {} (in the other volume below -500 HU within "
                  "2 voxels of it), else found as air in either volume",
                  images.lung_masks, counted(cases, "case")));
  }
  if (is_measured(images, metric::vessel_dice))
    text += " Central vessels: 150 HU or more within the lungs' box.";
  if (images.artery_masks > 0)
    text += fmt::format(" Pulmonary arteries: by the true volume's mask, in {} of {}.",
                        images.artery_masks, counted(cases, "case"));
  return text;
}

// What the tests of the image table are; nothing where there is none.
std::string tests_text(const ImageEvaluation& images) {
  std::set<std::string> methods;
  for (const MetricSummary& summary : images.metrics) {
    for (const source::Index baseline : source::baselines) {
      if (summary.tests[baseline]) methods.insert(summary.tests[baseline]->wilcoxon.method);
    }
  }
  if (methods.empty()) return {};
  return fmt::format(
      " The last columns: median of the paired differences, two-sided Wilcoxon signed-rank p ({}), "
      "Holm over all tests of this table.",
      fmt::join(methods, "; "));
}

std::string image_caption(const Evaluation& evaluation) {
  const ImageEvaluation& images = evaluation.images;
  const bool folders = evaluation.inputs.run.empty();
  std::string text =
      fmt::format("Protocols by row. Median [quartiles] over {}{}. {}.{}",
                  counted(int64_t(images.cases.size()), "case"),
                  folders ? "" : fmt::format(" of split {}", evaluation.options.split),
                  data_range_text(evaluation), tests_text(images));
  for (const source::Index baseline : measured_baselines(images)) {
    if (baseline == source::wrong_cxr) {
      text += fmt::format(" {}: a seeded derangement of the same {} (seed {}), never the same {}.",
                          folders ? "Another case's volume" : "Another patient's CXR",
                          folders ? "volumes" : "samples", evaluation.seed,
                          folders ? "case" : "patient");
    } else {
      text += fmt::format(" Mean of {}.", counted(images.training_volumes, "training volume"));
    }
  }
  text +=
      " SSIM: Gaussian sigma 1.5, 11 taps, 5 voxels of border left out; 2D is the mean over axial "
      "slices.";
  return text + instruments_text(images);
}

std::string references_caption(const Evaluation& evaluation) {
  const std::string& missing = evaluation.images.without_references;
  return fmt::format(
      "The same cases and protocols. Autoencoder alone: the true volume encoded and decoded, the "
      "most that a latent can carry. Regression alone: the model's own linear mean of the X-ray, "
      "decoded and refined, without diffusion. Tests as above, Holm over all tests of this table. "
      "The correlation with the X-ray stands beside that of the true volume's own DRR.{}",
      missing.empty() ? "" : " Left out: " + missing + ".");
}

std::string lesions_caption(const Evaluation& evaluation) {
  const LesionEvaluation& lesions = evaluation.images.lesions;
  if (lesions.cases.empty()) return {};
  return fmt::format(
      "Protocol x2ctpa/1. Median over cases with a mask of clots (mean for the side). Contrast: "
      "mean "
      "HU in the clots less that of the arteries within 20 mm. Share: of the true volume's "
      "contrast; "
      "1 is preserved, 0 gone. Detectability: the contrast over the standard deviation of those "
      "artery voxels. Dice: with the clots, of artery voxels below the arteries' median less half "
      "of "
      "the true contrast. Same side: whether these voxels lie mostly on the clots' side, ties "
      "count "
      "one half. Small: below {:.2f} ml, large: from {:.2f} ml. Central: at least half in the "
      "middle "
      "half of the lungs' box. p: two-sided Wilcoxon signed-rank of the generated volume, Holm "
      "over "
      "all tests of this table. Pictures: the slice with most clot, its mask outlined.",
      lesions.small_below_ml, lesions.large_from_ml);
}

std::string cases_caption(const Evaluation& evaluation) {
  const auto& w = evaluation.inputs.window;
  return fmt::format(
      "Sliders move through the slices; grey from {:g} to {:g} HU; difference is generated − real. "
      "Axial: anterior up, the patient's right on the left. Coronal and sagittal: head up; "
      "sagittal: anterior on the left. MIP: maximum intensity projection. DRR: the X-ray that the "
      "volume would give, what the window cut off at its lower end taken as lung. Cases by rank of "
      "PSNR among {}. Generated volumes are synthetic.",
      w.min_hu, w.max_hu, evaluation.images.cases.size());
}

std::string classification_caption(const Evaluation& evaluation) {
  const ScoreEvaluation& scores = evaluation.scores;
  if (scores.arms.empty()) return {};
  const auto has = [&](const auto& wanted) {
    return std::any_of(scores.arms.begin(), scores.arms.end(), wanted);
  };
  const auto has_arm = [&](const char* name) {
    return has([&](const ArmResult& arm) { return arm.name == name; });
  };
  std::string text = "Protocol x2ctpa/1.";
  const auto split = std::find_if(scores.arms.begin(), scores.arms.end(),
                                  [](const ArmResult& arm) { return !arm.split.empty(); });
  if (split != scores.arms.end()) text += fmt::format(" Split {}.", split->split);
  text += " AUC: Mann-Whitney, ties one half; interval: DeLong on the logit scale";
  if (has([](const ArmResult& arm) { return arm.bootstrap.has_value(); })) {
    text += fmt::format(
        ", and {} of patients, stratified by PE (seed {}); ±: the standard deviation over those "
        "resamples",
        counted(evaluation.options.bootstrap, "bootstrap resample"), evaluation.seed);
  }
  text += ".";
  if (has_arm("transfer"))
    text += " Transferred: generated volumes by the classifier of true ones.";
  if (has_arm("fused")) text += " Fused: X-ray and generated volume together.";
  if (has_arm("distilled")) text += " Distilled: an X-ray, trained towards what true volumes tell.";
  text += fmt::format(
      " Proportions: at {}; a score at or above it is positive; 95% Wilson intervals; a dash for a "
      "share of fewer than {} studies.",
      threshold_text(scores), fewest_studies);
  if (evaluation.options.published)
    text += " Paper: figures printed in X-ray2CTPA (arXiv 2406.16109), on its own data.";
  return text;
}

const char* const memorisation_caption =
    "Protocol x2ctpa/1. Median distance to the nearest training volume: root mean square "
    "difference "
    "of volumes (HU) or latents, averaged to at most 32 values per axis; two-sided Wilcoxon "
    "signed-rank over cases. A model that copies puts its volumes nearer to training than unseen "
    "patients lie. Suspicious: less than half of the smallest distance of a held-out true volume.";

const char* const calibration_caption =
    "ECE and the parts of the Brier score over ten bins of equal width (Brier = reliability − "
    "resolution + uncertainty + spread inside bins). Slope and intercept: logistic regression of "
    "PE "
    "on the logit of the score; 1 and 0 are perfect. Net benefit: true positives less false "
    "positives weighted by the odds of the threshold, per study. Bars of the calibration chart: "
    "95% "
    "Wilson intervals.";

const char* const comparisons_caption =
    "Paired DeLong test on the studies that both arms scored; two-sample Kolmogorov-Smirnov test "
    "between the scores of the same studies, as in the paper. Two-sided. Detectable: the "
    "difference "
    "that DeLong's test would find in 80% of sets like this one.";

}  // namespace

SourceLabel source_label(const EvaluationInputs& inputs, source::Index source) {
  const bool folders = inputs.run.empty();
  switch (source) {
    case source::generated:
      return folders ? SourceLabel{"generated volume", "generated"}
                     : SourceLabel{"right CXR", "right CXR"};
    case source::wrong_cxr:
      return folders ? SourceLabel{"another case's volume", "another"}
                     : SourceLabel{"another patient's CXR", "wrong CXR"};
    case source::mean_volume:
      return {"mean training volume", "mean volume"};
    case source::regression:
      return {"regression alone", "regression"};
    default:
      return {"autoencoder alone", "autoencoder"};
  }
}

std::vector<source::Index> measured_baselines(const ImageEvaluation& images) {
  std::vector<source::Index> measured;
  for (const source::Index baseline : source::baselines) {
    if (std::any_of(images.metrics.begin(), images.metrics.end(),
                    [&](const MetricSummary& m) { return m.sources[baseline].n > 0; }))
      measured.push_back(baseline);
  }
  return measured;
}

std::string threshold_text(const ScoreEvaluation& scores) {
  std::set<ThresholdOrigin> origins;
  for (const ArmResult& arm : scores.arms) origins.insert(arm.threshold_origin);
  if (origins.size() != 1) return "each arm's own threshold";
  switch (*origins.begin()) {
    case ThresholdOrigin::table:
      return "the threshold of each table";
    case ThresholdOrigin::validation:
      return "Youden's threshold of the validation rows";
    default:
      return fmt::format("evaluate.threshold, {:g}", scores.arms.front().threshold);
  }
}

std::vector<PublishedArm> shown_published(const EvaluateOptions& options) {
  if (!options.published) return {};
  return {published_arms.begin(), published_arms.end()};
}

std::string split_of(const Evaluation& evaluation) {
  const auto& arms = evaluation.scores.arms;
  const bool splits = !evaluation.inputs.run.empty() ||
                      std::any_of(arms.begin(), arms.end(),
                                  [](const ArmResult& arm) { return !arm.split.empty(); });
  return splits ? evaluation.options.split : std::string();
}

nlohmann::ordered_json captions_json(const Evaluation& evaluation) {
  const std::string data_range = data_range_text(evaluation);
  return {
      {"image_quality", image_caption(evaluation)},
      {"references", references_caption(evaluation)},
      {"lesions", lesions_caption(evaluation)},
      {"psnr_by_case",
       fmt::format("Protocol paper/1. Left: each case once per series, cases from best to worst "
                   "PSNR of the {}. Right: cases per paired difference. {}.",
                   source_label(evaluation.inputs, source::generated).name, data_range)},
      {"diversity", "Protocol x2ctpa/1: mean over the pairs of the first four samples of a case, " +
                        data_range + "."},
      {"features",
       "Between all true and all generated volumes, by the features of the network given; the "
       "numbers depend on it and on the number of pictures."},
      {"memorisation", memorisation_caption},
      {"cases", cases_caption(evaluation)},
      {"classification", classification_caption(evaluation)},
      {"classification_charts",
       "ROC bands: 95% of the bootstrap, pointwise. All charts of this section: the studies and "
       "intervals of the table above."},
      {"calibration", calibration_caption},
      {"comparisons", comparisons_caption},
      {"training",
       "Loss by training step, from metrics.jsonl of each stage; logarithmic axis. Classifiers: "
       "fold 0 where there are folds."}};
}

}  // namespace x2ctpa
