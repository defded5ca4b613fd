// Image metrics of each case: its own sample, another patient's sample, the mean training volume,
// and what two parts of the model make alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "evaluation/case_lesions.h"
#include "evaluation/lesion_summary.h"
#include "evaluation/reference_model.h"
#include "evaluation/steps.h"
#include "evaluation/volume_comparison.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

namespace {

at::Tensor clipped(const Volume& volume, const IntensityWindow& window) {
  return volume.hu.clamp(window.min_hu, window.max_hu);
}

// Running mean of the training volumes of the first one's grid.
void add_mean_volume(ImageEvaluation& images, const EvaluationInputs& inputs,
                     std::vector<Problem>& problems) {
  if (inputs.training_volumes.empty()) return;
  Progress progress("mean training volume", int64_t(inputs.training_volumes.size()));
  at::Tensor sum;
  for (const auto& file : inputs.training_volumes) {
    stop_if_interrupted();
    try {
      const auto volume = clipped(read_oriented(file), inputs.window);
      if (sum.defined() && sum.sizes() != volume.sizes())
        throw Error("its grid differs from the first training volume's");
      sum = sum.defined() ? sum.add_(volume) : volume.to(torch::kDouble);
      ++images.training_volumes;
    } catch (const Error& e) {
      problems.push_back({"unreadable training volume", file.filename().string(), e.what()});
    }
    progress.advance();
  }
  if (sum.defined()) images.mean_volume = (sum / double(images.training_volumes)).to(torch::kFloat);
}

Volume read_generated(const SamplePair& pair, const EvaluationInputs& inputs) {
  Volume image = read_oriented(pair.generated);
  check_volume(image, inputs, "generated volume");
  return image;
}

// The spacing of a volume made without the true one's geometry may differ; voxels are still
// compared.
bool same_spacing(const Volume& a, const Volume& b) {
  for (int axis = 0; axis < 3; ++axis) {
    if (std::abs(a.spacing_mm[axis] / b.spacing_mm[axis] - 1) > 0.02) return false;
  }
  return true;
}

// Those that are made here; none of another grid.
void add_references(const SamplePair& pair, const ImageEvaluation& images,
                    const VolumeComparison& comparison, ReferenceModel* model,
                    SourceVolumes& volumes) {
  volumes[source::mean_volume] = images.mean_volume;
  if (model != nullptr) {
    volumes[source::autoencoder] = model->autoencoder_alone(comparison.truth());
    if (comparison.cxr().defined())
      volumes[source::regression] = model->regression_alone(pair.case_id, comparison.cxr());
  }
  for (const int source : {source::mean_volume, source::autoencoder, source::regression}) {
    at::Tensor& hu = volumes[source];
    if (hu.defined() && hu.sizes() != comparison.truth().hu.sizes()) hu = at::Tensor();
  }
}

CaseResult evaluate_case(const SamplePair& pair, const SamplePair* wrong,
                         const EvaluationInputs& inputs, const VolumeComparison& comparison,
                         SourceVolumes& volumes) {
  CaseResult result;
  result.pair = pair;
  result.truth_projection = comparison.truth_projection();
  const Volume made = read_generated(pair, inputs);
  result.same_spacing = same_spacing(made, comparison.truth());
  volumes[source::generated] = made.hu;
  if (wrong != nullptr) {
    try {
      volumes[source::wrong_cxr] = read_generated(*wrong, inputs).hu;
      if (volumes[source::wrong_cxr].sizes() == comparison.truth().hu.sizes())
        result.wrong_case_id = wrong->case_id;
      else
        volumes[source::wrong_cxr] = at::Tensor();
    } catch (const Error&) {
      // The partner's own row names the reason; this case goes without this baseline.
    }
  }
  for (int source = 0; source < source::count; ++source) {
    if (!volumes[source].defined()) continue;
    Volume placed = comparison.truth();
    placed.hu = volumes[source];
    result.quality[source] = comparison.of(placed);
  }
  return result;
}

// Mean absolute difference and MS-SSIM over the pairs of a case's first four samples.
void add_diversity(const SamplePair& pair, const EvaluationInputs& inputs, std::vector<double>& mae,
                   std::vector<double>& ms_ssim) {
  if (pair.further.empty()) return;
  std::vector<at::Tensor> samples{clipped(read_oriented(pair.generated), inputs.window)};
  for (const auto& file : pair.further) {
    if (samples.size() < 4) samples.push_back(clipped(read_oriented(file), inputs.window));
  }
  double difference = 0, similarity = 0, pairs = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    for (size_t j = i + 1; j < samples.size(); ++j, ++pairs) {
      const ImageQuality q =
          image_quality(samples[i], samples[j], inputs.window.max_hu - inputs.window.min_hu);
      difference += q.mae;
      similarity += q.ms_ssim_3d;
    }
  }
  mae.push_back(difference / pairs);
  ms_ssim.push_back(similarity / pairs);
}

double quantile(const std::vector<double>& ascending, double q) {
  const double position = q * double(ascending.size() - 1);
  const size_t below = size_t(position), above = std::min(below + 1, ascending.size() - 1);
  if (ascending[below] == ascending[above]) return ascending[below];
  return ascending[below] + (position - double(below)) * (ascending[above] - ascending[below]);
}

MetricSummary summarise(int metric, const std::vector<CaseResult>& cases) {
  MetricSummary summary{metric, {}, {}};
  for (int source = 0; source < source::count; ++source) {
    std::vector<double> values, own, baseline;
    for (const CaseResult& c : cases) {
      if (!c.quality[source] || std::isnan((*c.quality[source])[metric])) continue;
      values.push_back((*c.quality[source])[metric]);
      if (std::isnan((*c.quality[source::generated])[metric])) continue;
      baseline.push_back(values.back());
      own.push_back((*c.quality[source::generated])[metric]);
    }
    // The shortfall differs from the correlation by one number per case: the test is the same.
    if (source != source::generated && metric != metric::projection_shortfall && !own.empty()) {
      summary.tests[source] = BaselineTest{paired_test(own, baseline)};
    }
    summary.sources[source] = distribution_of(std::move(values));
  }
  return summary;
}

// Why no case tells a metric; with how many cases where there are several reasons.
std::string reasons_text(const std::map<std::string, int64_t>& reasons) {
  std::string text;
  for (const auto& [reason, cases] : reasons) {
    if (!text.empty()) text += "; ";
    text += reasons.size() == 1 ? reason : fmt::format("{} ({})", reason, counted(cases, "case"));
  }
  return text;
}

Distribution truth_projections(const std::vector<CaseResult>& cases) {
  std::vector<double> projections;
  for (const CaseResult& c : cases) {
    if (!std::isnan(c.truth_projection)) projections.push_back(c.truth_projection);
  }
  return distribution_of(std::move(projections));
}

// Holm over every metric and the sources of one family together.
void correct(std::vector<MetricSummary>& metrics, std::span<const source::Index> family) {
  std::vector<BaselineTest*> tests;
  for (auto& summary : metrics) {
    for (const source::Index source : family) {
      auto& test = summary.tests[source];
      if (test) tests.push_back(&*test);
    }
  }
  correct_by_holm(tests);
}

}  // namespace

WilcoxonResult paired_test(std::span<const double> own, std::span<const double> other) {
  WilcoxonResult result = wilcoxon_signed_rank(own, other);
  if (result.pairs >= fewest_pairs) return result;
  result.p = std::nan("");
  result.method = fmt::format("no p for fewer than {} pairs", fewest_pairs);
  return result;
}

void correct_by_holm(const std::vector<BaselineTest*>& tests) {
  std::vector<double> p;
  for (const BaselineTest* test : tests) p.push_back(test->wilcoxon.p);
  const auto adjusted = holm_adjusted(p);
  for (size_t i = 0; i < tests.size(); ++i) tests[i]->p_holm = adjusted[i];
}

Distribution distribution_of(std::vector<double> values) {
  Distribution d;
  d.n = int64_t(values.size());
  if (values.empty()) {
    d.mean = d.sd = d.median = d.q1 = d.q3 = d.min = d.max = std::nan("");
    return d;
  }
  std::sort(values.begin(), values.end());
  d.mean = std::accumulate(values.begin(), values.end(), 0.0) / double(d.n);
  double squares = 0;
  for (double v : values) squares += (v - d.mean) * (v - d.mean);
  d.sd = d.n > 1 ? std::sqrt(squares / double(d.n - 1)) : std::nan("");
  d.median = quantile(values, 0.5);
  d.q1 = quantile(values, 0.25);
  d.q3 = quantile(values, 0.75);
  d.min = values.front();
  d.max = values.back();
  return d;
}

// Cases in random order, grouped by patient, then each takes the one a group's length further on:
// with no patient holding more than half of the cases, all partners are of other patients.
std::vector<int64_t> draw_wrong_partners(const std::vector<std::string>& patients, int64_t seed) {
  const size_t n = patients.size();
  std::vector<int64_t> partner(n, -1), order(n);
  if (n < 2) return partner;
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](const std::string& text) { return stream_seed(seed, "wrong-cxr/" + text); };
  std::map<std::string, int64_t> group_size;
  for (const auto& patient : patients) ++group_size[patient];
  std::sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return std::tuple(key(patients[i]), patients[i], key(std::to_string(i))) <
           std::tuple(key(patients[j]), patients[j], key(std::to_string(j)));
  });
  int64_t shift = 0;
  for (const auto& [patient, size] : group_size) shift = std::max(shift, size);
  for (size_t k = 0; k < n; ++k) {
    const int64_t other = order[(k + size_t(shift)) % n];
    if (patients[other] != patients[order[k]]) partner[order[k]] = other;
  }
  return partner;
}

ImageEvaluation evaluate_images(const EvaluationInputs& inputs, const EvaluateOptions& options,
                                const RuntimeOptions& runtime, std::vector<Problem>& problems) {
  ImageEvaluation images;
  if (inputs.pairs.empty()) return images;
  add_mean_volume(images, inputs, problems);
  Lpips lpips{nullptr};
  if (!inputs.lpips.empty()) {
    lpips = load_model(inputs.lpips, [] { return Lpips(); });
    lpips->eval();
  }
  const bool x2ct = std::count(options.protocols.begin(), options.protocols.end(), "x2ct") > 0;
  std::vector<std::string> patients;
  for (const auto& pair : inputs.pairs) patients.push_back(pair.patient_id);
  const auto partners = draw_wrong_partners(patients, runtime.seed);
  const auto model = open_references(inputs, options, runtime, images.without_references);
  std::vector<double> sample_mae, sample_ms_ssim;
  std::map<int, std::map<std::string, int64_t>> reasons;
  Progress progress("image metrics", int64_t(inputs.pairs.size()));
  for (size_t i = 0; i < inputs.pairs.size(); ++i) {
    stop_if_interrupted();
    const SamplePair& pair = inputs.pairs[i];
    const SamplePair* wrong = partners[i] < 0 ? nullptr : &inputs.pairs[partners[i]];
    try {
      const VolumeComparison comparison(pair, inputs, lpips.is_empty() ? nullptr : &lpips, x2ct);
      SourceVolumes volumes;
      add_references(pair, images, comparison, model.get(), volumes);
      images.cases.push_back(evaluate_case(pair, wrong, inputs, comparison, volumes));
      add_lesions(pair, comparison, volumes, images.lesions);
      images.lung_masks += comparison.lungs_are_given();
      images.artery_masks += comparison.arteries_are_given();
      for (const auto& [metric, reason] : comparison.untold()) ++reasons[metric][reason];
      if (wrong == nullptr)
        problems.push_back(
            {"no wrong CXR", pair.case_id, "no case of another patient is left to take"});
      if (inputs.info.unit == "HU" && !comparison.has_lungs())
        problems.push_back({"no lungs", pair.case_id,
                            "no numbers of lungs and vessels: " + comparison.why_no_lungs()});
      if (!images.cases.back().same_spacing)
        problems.push_back({"other spacing", pair.case_id,
                            "spacings differ by more than 2%; voxels were compared one by one"});
      add_diversity(pair, inputs, sample_mae, sample_ms_ssim);
    } catch (const Error& e) {
      problems.push_back({"not evaluated", pair.case_id, e.what(), true});
    }
    progress.advance();
  }
  images.diversity = {int64_t(sample_mae.size()), distribution_of(sample_mae),
                      distribution_of(sample_ms_ssim)};
  for (int metric = 0; metric < metric::count; ++metric) {
    MetricSummary summary = summarise(metric, images.cases);
    if (summary.sources[source::generated].n > 0)
      images.metrics.push_back(std::move(summary));
    else if (const auto found = reasons.find(metric); found != reasons.end())
      images.untold[metric] = reasons_text(found->second);
  }
  summarise_lesions(images.lesions);
  correct(images.metrics, source::baselines);
  correct(images.metrics, source::references);
  images.truth_projection = truth_projections(images.cases);
  return images;
}

}  // namespace x2ctpa
