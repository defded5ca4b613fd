// Data of the report's charts.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "evaluation/report/html.h"
#include "evaluation/steps.h"

namespace x2ctpa {
namespace {

using nlohmann::json;

json finite(double value) {
  return std::isfinite(value) ? json(std::round(value * 1e6) / 1e6) : json(nullptr);
}

// Cases from best to worst; null where a baseline is missing.
json psnr_by_case(const ImageEvaluation& images) {
  std::vector<const CaseResult*> order;
  for (const CaseResult& c : images.cases) order.push_back(&c);
  std::stable_sort(order.begin(), order.end(), [](const CaseResult* a, const CaseResult* b) {
    return (*a->quality[source::generated])[metric::psnr] >
           (*b->quality[source::generated])[metric::psnr];
  });
  json result = {{"case", json::array()}};
  for (const CaseResult* c : order) {
    result["case"].push_back(c->pair.case_id);
    for (int s = 0; s < source::count; ++s) {
      result[source_keys[s]].push_back(c->quality[s] ? finite((*c->quality[s])[metric::psnr])
                                                     : json(nullptr));
    }
  }
  return result;
}

json roc(const ArmResult& arm) {
  json points = json::array();
  for (const RocPoint& p : roc_curve(arm.labels, arm.scores))
    points.push_back({finite(p.false_positive_rate), finite(p.true_positive_rate)});
  json band = json::array();
  if (arm.bootstrap) {
    for (const RocBandPoint& p : arm.bootstrap->band)
      band.push_back(
          {p.false_positive_rate, finite(p.sensitivity.low), finite(p.sensitivity.high)});
  }
  return {{"name", arm.title}, {"auc", finite(arm.auc->auc)}, {"points", points}, {"band", band}};
}

json calibration(const ArmResult& arm) {
  json points = json::array();
  for (const ReliabilityBin& bin : arm.calibration->bins) {
    if (bin.cases == 0) continue;
    points.push_back({finite(bin.mean_score), finite(bin.observed.value),
                      finite(bin.observed.interval.low), finite(bin.observed.interval.high),
                      bin.cases});
  }
  return {{"name", arm.title}, {"points", points}};
}

json net_benefit(const ArmResult& arm) {
  json points = json::array();
  for (const NetBenefit& p : arm.net_benefit)
    points.push_back({p.threshold, finite(p.model), finite(p.treat_all)});
  return {{"name", arm.title}, {"points", points}};
}

json score_histogram(const ArmResult& arm) {
  constexpr int bins = 10;
  const auto [low, high] = std::minmax_element(arm.scores.begin(), arm.scores.end());
  const bool unit = *low >= 0 && *high <= 1;
  const double first = unit ? 0 : *low, width = unit ? 0.1 : std::max((*high - *low) / bins, 1e-12);
  std::vector<int64_t> positive(bins, 0), negative(bins, 0);
  for (size_t i = 0; i < arm.scores.size(); ++i) {
    const int bin = std::clamp(int((arm.scores[i] - first) / width), 0, bins - 1);
    ++(arm.labels[i] ? positive : negative)[bin];
  }
  json labels = json::array();
  for (int bin = 0; bin < bins; ++bin)
    labels.push_back(fmt::format("{:.3g}", first + (bin + 0.5) * width));
  return {{"name", arm.title},
          {"labels", labels},
          {"positive", positive},
          {"negative", negative},
          {"threshold", finite(arm.threshold)}};
}

// Loss curves of a stage, thinned to at most 400 lines; a broken line is passed over.
json training_curve(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<json> lines;
  for (std::string line; std::getline(stream, line);) {
    const json entry = json::parse(line, nullptr, false);
    if (entry.is_object() && entry.contains("step")) lines.push_back(entry);
  }
  const size_t every = lines.size() / 400 + 1;
  json curve = {{"loss", json::array()}, {"val_loss", json::array()}};
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const char* key : {"loss", "val_loss"}) {
      const auto value = lines[i].find(key);
      if (value == lines[i].end() || !value->is_number()) continue;
      if (std::string(key) == "loss" && i % every != 0) continue;
      curve[key].push_back({lines[i]["step"], finite(value->get<double>())});
    }
  }
  return curve;
}

}  // namespace

json chart_data(const Evaluation& evaluation) {
  json data = {{"roc", json::array()},
               {"scores", json::array()},
               {"calibration", json::array()},
               {"net_benefit", json::array()},
               {"training", json::object()}};
  if (!evaluation.images.cases.empty()) data["psnr"] = psnr_by_case(evaluation.images);
  for (const ArmResult& arm : evaluation.scores.arms) {
    if (arm.auc) data["roc"].push_back(roc(arm));
    data["scores"].push_back(score_histogram(arm));
    if (arm.calibration) {
      data["calibration"].push_back(calibration(arm));
      data["net_benefit"].push_back(net_benefit(arm));
    }
  }
  if (evaluation.inputs.run.empty()) return data;
  for (const char* stage :
       {"vae", "diffusion", "classifier/ctpa", "classifier/cxr", "classifier/generated"}) {
    auto file = evaluation.inputs.run / stage / "metrics.jsonl";
    if (!std::filesystem::exists(file))
      file = evaluation.inputs.run / stage / "fold0" / "metrics.jsonl";
    if (std::filesystem::exists(file)) data["training"][stage] = training_curve(file);
  }
  return data;
}

}  // namespace x2ctpa
