// metrics.json; docs/metrics.md describes its keys.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "evaluation/report/report_json.h"
#include "evaluation/steps.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

std::string rank_name(int64_t place, int64_t shown) {
  if (place == 0) return "Best";
  if (place == shown - 1) return "Worst";
  if (2 * place == shown - 1) return "Median";
  return fmt::format("{:.0f}th percentile from the best",
                     100.0 * double(place) / double(shown - 1));
}

// Cases from best to worst PSNR; null where a baseline is missing.
ordered_json psnr_by_case_json(const ImageEvaluation& images) {
  ordered_json result = {{"case", ordered_json::array()}};
  for (const char* key : source_keys) result[key] = ordered_json::array();
  for (const CaseResult* c : cases_by_psnr(images)) {
    result["case"].push_back(c->pair.case_id);
    for (int s = 0; s < source::count; ++s) {
      const auto& values = c->quality[s];
      result[source_keys[s]].push_back(values ? rounded_json((*values)[metric::psnr])
                                              : ordered_json(nullptr));
    }
  }
  return result;
}

ordered_json images_json(const Evaluation& evaluation) {
  ordered_json metrics = ordered_json::object(), shown = ordered_json::array();
  for (const MetricSummary& summary : evaluation.images.metrics) {
    const MetricName& name = metric_names[summary.metric];
    ordered_json entry = {{"label", name.label},
                          {"unit", name.unit},
                          {"protocol", name.protocol},
                          {"better", name.better}};
    for (int source = 0; source < source::count; ++source) {
      entry[source_keys[source]] = distribution_json(summary.sources[source]);
      if (summary.tests[source])
        entry["generated_against_" + std::string(source_keys[source])] =
            test_json(*summary.tests[source]);
    }
    if (summary.metric == metric::projection)
      entry["truth"] = distribution_json(evaluation.images.truth_projection);
    metrics[name.key] = entry;
  }
  ordered_json labels = ordered_json::object(), untold = ordered_json::object();
  for (int s = 0; s < source::count; ++s)
    labels[source_keys[s]] = source_label(evaluation.inputs, source::Index(s)).name;
  for (const auto& [metric, reason] : evaluation.images.untold) {
    const MetricName& name = metric_names[metric];
    untold[name.key] = {{"label", name.label}, {"protocol", name.protocol}, {"reason", reason}};
  }
  const Diversity& d = evaluation.images.diversity;
  ordered_json diversity = nullptr;
  if (d.cases > 0) {
    diversity = {{"cases", d.cases},
                 {"protocol", "x2ctpa/1"},
                 {"mae_hu", distribution_json(d.mae_hu)},
                 {"ms_ssim_3d", distribution_json(d.ms_ssim)}};
  }
  for (const ShownCase& c : shown_cases(evaluation)) {
    const MetricValues& values = *c.result->quality[source::generated];
    shown.push_back({{"case", c.result->pair.case_id},
                     {"rank", c.rank},
                     {"psnr_db", number_json(values[metric::psnr])},
                     {"ssim_3d", number_json(values[metric::ssim3d])},
                     {"mae_hu", number_json(values[metric::mae])}});
  }
  return {{"cases", evaluation.images.cases.size()},
          {"training_volumes", evaluation.images.training_volumes},
          {"lung_masks", evaluation.images.lung_masks},
          {"artery_masks", evaluation.images.artery_masks},
          {"without_references", evaluation.images.without_references},
          {"labels", labels},
          {"metrics", metrics},
          {"untold", untold},
          {"psnr_by_case", psnr_by_case_json(evaluation.images)},
          {"shown_cases", shown},
          {"diversity", diversity}};
}

ordered_json features_json(const Evaluation& evaluation) {
  ordered_json out = ordered_json::object();
  for (const FeatureMeasure& f : evaluation.features) {
    out[f.key] = {{"label", f.label},
                  {"value", number_json(f.value)},
                  {"protocol", f.protocol},
                  {"pictures_real", f.real},
                  {"pictures_generated", f.generated}};
  }
  return out;
}

ordered_json memorisation_json(const Evaluation& evaluation) {
  ordered_json out = ordered_json::object();
  for (const Memorisation& m : evaluation.memorisation) {
    ordered_json cases = ordered_json::array();
    int64_t suspicious = 0;
    std::vector<double> generated, real;
    for (const MemorisationCase& c : m.cases) {
      suspicious += c.suspicious;
      generated.push_back(c.generated);
      real.push_back(c.real);
      cases.push_back({{"case", c.case_id},
                       {"nearest_training", c.nearest},
                       {"generated", number_json(c.generated)},
                       {"real", number_json(c.real)},
                       {"suspicious", c.suspicious}});
    }
    out[m.space] = {{"distance", m.distance},
                    {"training", m.training},
                    {"suspicious", suspicious},
                    {"median_generated", number_json(median(generated))},
                    {"median_real", number_json(median(real))},
                    {"cases", cases},
                    {"p", m.test ? number_json(m.test->p) : ordered_json(nullptr)},
                    {"median_difference",
                     m.test ? number_json(m.test->median_difference) : ordered_json(nullptr)}};
  }
  return out;
}

// Loss of a stage, thinned to at most 400 lines; a broken line is passed over.
ordered_json training_curve_json(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<ordered_json> lines;
  for (std::string line; std::getline(stream, line);) {
    ordered_json entry = ordered_json::parse(line, nullptr, false);
    if (entry.is_object() && entry.contains("step")) lines.push_back(std::move(entry));
  }
  const size_t every = lines.size() / 400 + 1;
  ordered_json curve = {{"loss", ordered_json::array()}, {"val_loss", ordered_json::array()}};
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const char* key : {"loss", "val_loss"}) {
      const auto value = lines[i].find(key);
      if (value == lines[i].end() || !value->is_number()) continue;
      if (std::string(key) == "loss" && i % every != 0) continue;
      curve[key].push_back({lines[i]["step"], rounded_json(value->get<double>())});
    }
  }
  return curve;
}

ordered_json protocol_json(const Evaluation& evaluation) {
  const auto& window = evaluation.inputs.window;
  const std::string split = split_of(evaluation);
  return {{"window_hu", {window.min_hu, window.max_hu}},
          {"window_source", evaluation.inputs.window_source},
          {"data_range_hu", window.max_hu - window.min_hu},
          {"protocols", evaluation.options.protocols},
          {"split", split.empty() ? ordered_json(nullptr) : ordered_json(split)},
          {"seed", evaluation.seed},
          {"bootstrap_resamples", evaluation.options.bootstrap},
          {"ssim",
           "Gaussian sigma 1.5, 11 taps, K1 0.01, K2 0.03, population covariance, border of 5 left "
           "out"}};
}

// Loss curves by training stage of the run.
ordered_json training_json(const std::filesystem::path& run) {
  ordered_json training = ordered_json::object();
  if (run.empty()) return training;
  for (const char* stage :
       {"vae", "diffusion", "classifier/ctpa", "classifier/cxr", "classifier/generated"}) {
    auto file = run / stage / "metrics.jsonl";
    if (!std::filesystem::exists(file)) file = run / stage / "fold0" / "metrics.jsonl";
    if (std::filesystem::exists(file)) training[stage] = training_curve_json(file);
  }
  return training;
}

}  // namespace

ordered_json number_json(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

ordered_json distribution_json(const Distribution& d) {
  return {{"n", d.n},
          {"mean", number_json(d.mean)},
          {"sd", number_json(d.sd)},
          {"median", number_json(d.median)},
          {"q1", number_json(d.q1)},
          {"q3", number_json(d.q3)},
          {"min", number_json(d.min)},
          {"max", number_json(d.max)}};
}

ordered_json test_json(const BaselineTest& test) {
  const WilcoxonResult& w = test.wilcoxon;
  return {{"n", w.pairs},
          {"zeros", w.zeros},
          {"statistic", number_json(w.statistic)},
          {"p", number_json(w.p)},
          {"p_holm", number_json(test.p_holm)},
          {"median_difference", number_json(w.median_difference)},
          {"method", w.method}};
}

ordered_json rounded_json(double value) { return number_json(std::round(value * 1e6) / 1e6); }

ordered_json interval_json(const Interval& i) {
  return ordered_json::array({number_json(i.low), number_json(i.high)});
}

std::vector<const CaseResult*> cases_by_psnr(const ImageEvaluation& images) {
  std::vector<const CaseResult*> order;
  for (const CaseResult& c : images.cases) order.push_back(&c);
  std::stable_sort(order.begin(), order.end(), [](const CaseResult* a, const CaseResult* b) {
    return (*a->quality[source::generated])[metric::psnr] >
           (*b->quality[source::generated])[metric::psnr];
  });
  return order;
}

std::vector<ShownCase> shown_cases(const Evaluation& evaluation) {
  const auto order = cases_by_psnr(evaluation.images);
  const int64_t total = int64_t(order.size()),
                shown = std::min(total, evaluation.options.report_cases);
  if (shown == 1) return {{order[size_t(total / 2)], "Median"}};
  std::vector<ShownCase> cases;
  for (int64_t k = 0; k < shown; ++k) {
    const int64_t place = (k * (total - 1) + (shown - 1) / 2) / (shown - 1);
    cases.push_back({order[size_t(place)], rank_name(k, shown)});
  }
  return cases;
}

ordered_json metrics_json(const Evaluation& evaluation) {
  ordered_json problems = ordered_json::array(), provenance = ordered_json::object();
  for (const Problem& p : evaluation.problems) {
    problems.push_back(
        {{"kind", p.kind}, {"name", p.name}, {"detail", p.detail}, {"failure", p.failure}});
  }
  for (const auto& [name, value] : evaluation.provenance) provenance[name] = value;
  ordered_json reconstruction = nullptr;
  if (evaluation.inputs.reconstruction_psnr_db) {
    reconstruction = {{"psnr_db_mean", *evaluation.inputs.reconstruction_psnr_db},
                      {"cases", evaluation.inputs.reconstruction_cases}};
  }
  return {{"schema", "x2ctpa.evaluation/2"},
          {"title", evaluation.inputs.title},
          {"notice", "Research use only, not for diagnosis. Generated volumes are synthetic."},
          {"protocol", protocol_json(evaluation)},
          {"images", images_json(evaluation)},
          {"lesions", lesions_json(evaluation)},
          {"features", features_json(evaluation)},
          {"memorisation", memorisation_json(evaluation)},
          {"classification", classification_json(evaluation)},
          {"training", training_json(evaluation.inputs.run)},
          {"vqgan_reconstruction", reconstruction},
          {"problems", problems},
          {"provenance", provenance},
          {"captions", captions_json(evaluation)}};
}

}  // namespace x2ctpa
