// Results as JSON, CSV and plain text.
#include <cmath>
#include <nlohmann/json.hpp>

#include "evaluate_steps.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"

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
    json entry = {{"unit", summary.metric.unit},
                  {"higher_is_better", summary.metric.higher_is_better}};
    for (int source = 0; source < kSources; ++source) {
      entry[kSourceKeys[source]] = distribution_json(summary.sources[source]);
      if (summary.tests[source])
        entry["generated_against_" + std::string(kSourceKeys[source])] =
            test_json(*summary.tests[source]);
    }
    metrics[summary.metric.key] = entry;
  }
  return {{"cases", evaluation.images.cases.size()},
          {"training_volumes", evaluation.images.training_volumes},
          {"metrics", metrics}};
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
  entry["brier"] = arm.brier ? json(*arm.brier) : json(nullptr);
  return entry;
}

json comparison_json(const ArmComparison& c) {
  json entry = {{"first", c.first}, {"second", c.second}, {"n", c.common}};
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
  for (const auto& p : kPublishedArms) {
    published[p.name] = {{"auc", p.auc},
                         {"accuracy_percent", p.accuracy},
                         {"specificity_percent", p.specificity},
                         {"sensitivity_percent", p.sensitivity},
                         {"ppv_percent", p.ppv},
                         {"npv_percent", p.npv}};
  }
  return {{"arms", arms}, {"comparisons", comparisons}, {"published", published}};
}

json protocol_json(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  return {{"window_hu", {window.min_hu, window.max_hu}},
          {"window_source", evaluation.inputs.window_source},
          {"data_range_hu", window.max_hu - window.min_hu},
          {"mask", "none"},
          {"split", evaluation.options.split},
          {"seed", evaluation.seed},
          {"bootstrap_resamples", evaluation.options.bootstrap},
          {"ssim",
           "Gaussian sigma 1.5, 11 taps, K1 0.01, K2 0.03, population covariance, border of 5 left "
           "out"}};
}

CsvTable per_case_table(const Evaluation& evaluation) {
  std::vector<std::string> columns{"case_id",   "patient_id", "wrong_case_id",
                                   "generated", "real",       "sampler",
                                   "steps",     "seed",       "guidance_scale"};
  for (const char* source : kSourceKeys) {
    for (const MetricName& metric : kMetrics)
      columns.push_back(fmt::format("{}_{}", source, metric.key));
  }
  CsvTable table(columns);
  for (const CaseResult& c : evaluation.images.cases) {
    std::vector<std::string> row{
        c.pair.case_id,       c.pair.patient_id, c.wrong_case_id, c.pair.generated.string(),
        c.pair.real.string(), c.pair.sampler,    c.pair.steps,    c.pair.seed,
        c.pair.guidance_scale};
    for (const auto& quality : c.quality) {
      for (const MetricName& metric : kMetrics)
        row.push_back(quality ? fmt::format("{:.8g}", (*quality).*metric.member) : "");
    }
    table.add(row);
  }
  return table;
}

CsvTable image_table(const Evaluation& evaluation) {
  CsvTable table({"metric", "unit", "compared", "n", "mean", "sd", "median", "q1", "q3", "min",
                  "max", "median_difference", "p", "p_holm", "test"});
  const auto text = [](double v) {
    return std::isnan(v) ? std::string() : fmt::format("{:.8g}", v);
  };
  for (const MetricSummary& summary : evaluation.images.metrics) {
    for (int source = 0; source < kSources; ++source) {
      const Distribution& d = summary.sources[source];
      if (d.n == 0) continue;
      std::vector<std::string> row{summary.metric.key,  summary.metric.unit, kSourceKeys[source],
                                   std::to_string(d.n), text(d.mean),        text(d.sd),
                                   text(d.median),      text(d.q1),          text(d.q3),
                                   text(d.min),         text(d.max)};
      const auto& test = summary.tests[source];
      if (test) {
        row.insert(row.end(), {text(test->wilcoxon.median_difference), text(test->wilcoxon.p),
                               text(test->p_holm), test->wilcoxon.method});
      } else {
        row.insert(row.end(), 4, "");
      }
      table.add(row);
    }
  }
  return table;
}

std::string percent(const Proportion& p) {
  return std::isnan(p.value) ? "" : fmt::format("{:.2f}", 100 * p.value);
}

// The published layout: AUC with its interval, the rest in percent.
CsvTable paper_table(const Evaluation& evaluation) {
  CsvTable table({"arm", "source", "n", "positives", "auc", "auc_delong_low", "auc_delong_high",
                  "auc_bootstrap_low", "auc_bootstrap_high", "accuracy", "specificity",
                  "sensitivity", "ppv", "npv", "threshold"});
  for (const ArmResult& arm : evaluation.scores.arms) {
    const auto low_high = [](const std::optional<Interval>& i, bool high) {
      return i ? fmt::format("{:.4f}", high ? i->high : i->low) : std::string();
    };
    const std::optional<Interval> delong = arm.auc ? arm.auc->interval : std::nullopt;
    const std::optional<Interval> bootstrap =
        arm.bootstrap ? std::optional(arm.bootstrap->interval) : std::nullopt;
    const Confusion& c = arm.confusion;
    table.add({arm.title, "this run", std::to_string(arm.labels.size()),
               std::to_string(arm.positives), arm.auc ? fmt::format("{:.4f}", arm.auc->auc) : "",
               low_high(delong, false), low_high(delong, true), low_high(bootstrap, false),
               low_high(bootstrap, true), percent(c.accuracy()), percent(c.specificity()),
               percent(c.sensitivity()), percent(c.positive_predictive_value()),
               percent(c.negative_predictive_value()), fmt::format("{:.6g}", arm.threshold)});
  }
  for (const PublishedArm& p : kPublishedArms) {
    table.add({p.title, "X-ray2CTPA paper", "", "", p.auc, "", "", "", "", p.accuracy,
               p.specificity, p.sensitivity, p.ppv, p.npv, ""});
  }
  return table;
}

std::string image_text(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  std::string text = fmt::format(
      "Image quality, {} cases, HU clipped to [{:g}, {:g}], data range {:g} HU: "
      "median\n{:<12}{:>12}{:>12}{:>12}{:>16}{:>16}\n",
      evaluation.images.cases.size(), window.min_hu, window.max_hu, window.max_hu - window.min_hu,
      "", "right CXR", "wrong CXR", "mean volume", "p against wrong", "p against mean");
  for (const MetricSummary& s : evaluation.images.metrics) {
    const std::string label =
        s.metric.unit[0] ? fmt::format("{} ({})", s.metric.label, s.metric.unit) : s.metric.label;
    // fmt pads by code points of the label; the squared sign is one.
    text += fmt::format("{:<12}", label);
    const int digits = s.metric.unit[0] ? 2 : 3;
    for (const auto& d : s.sources) text += fmt::format("{:>12}", number_text(d.median, digits));
    for (int source : {kWrongCxr, kMeanVolume})
      text += fmt::format("{:>16}", s.tests[source] ? p_text(s.tests[source]->p_holm) : "–");
    text += "\n";
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
      "\nPulmonary embolism, percent at the validation threshold\n{:<16}{:>5}{:>5}  "
      "{:<22}{:>7}{:>7}{:>7}{:>7}{:>7}\n",
      "arm", "N", "PE", "AUC [95% DeLong]", "acc.", "spec.", "sens.", "PPV", "NPV");
  const auto cell = [](const Proportion& p) {
    return fmt::format("{:>7}", number_text(100 * p.value, 1));
  };
  for (const ArmResult& arm : evaluation.scores.arms) {
    std::string auc = arm.auc ? number_text(arm.auc->auc, 3) : "–";
    if (arm.auc && arm.auc->interval)
      auc += fmt::format(" [{:.2f}-{:.2f}]", arm.auc->interval->low, arm.auc->interval->high);
    const Confusion& c = arm.confusion;
    text +=
        fmt::format("{:<16}{:>5}{:>5}  {:<22}", arm.title, arm.labels.size(), arm.positives, auc) +
        cell(c.accuracy()) + cell(c.specificity()) + cell(c.sensitivity()) +
        cell(c.positive_predictive_value()) + cell(c.negative_predictive_value()) + "\n";
  }
  for (const PublishedArm& p : kPublishedArms) {
    text += fmt::format("{:<28}{:<22}{:>7}{:>7}{:>7}{:>7}{:>7}\n",
                        fmt::format("paper: {}", p.title), std::string(p.auc).substr(0, 17),
                        p.accuracy, p.specificity, p.sensitivity, p.ppv, p.npv);
  }
  for (const ArmComparison& c : evaluation.scores.comparisons) {
    if (c.delong) {
      text += fmt::format("{} - {}: AUC difference {:+.3f}, DeLong p {} (Holm {}), N {}\n", c.first,
                          c.second, c.delong->auc_a - c.delong->auc_b, p_text(c.delong->p),
                          p_text(c.delong_p_holm), c.common);
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
  return {{"schema", "x2ctpa.evaluation/1"},
          {"protocol", protocol_json(evaluation)},
          {"images", images_json(evaluation)},
          {"classification", classification_json(evaluation)},
          {"vqgan_reconstruction", reconstruction},
          {"problems", problems},
          {"provenance", provenance}};
}

void write_tables(const Evaluation& evaluation, const std::filesystem::path& folder) {
  write_file(folder / "metrics.json", metrics_json(evaluation).dump(2) + "\n");
  per_case_table(evaluation).write(folder / "per_case.csv");
  image_table(evaluation).write(folder / "image_quality.csv");
  paper_table(evaluation).write(folder / "table.csv");
  CsvTable problems({"kind", "name", "detail", "failure"});
  for (const Problem& p : evaluation.problems)
    problems.add({p.kind, p.name, p.detail, p.failure ? "1" : "0"});
  problems.write(folder / "problems.csv");
}

std::string result_text(const Evaluation& evaluation) {
  std::string text;
  if (!evaluation.images.cases.empty()) text += image_text(evaluation);
  if (!evaluation.scores.arms.empty()) text += score_text(evaluation);
  return text;
}

}  // namespace x2ctpa
