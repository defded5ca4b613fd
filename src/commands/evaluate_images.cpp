// Image metrics of each case: its own sample, another patient's sample, the mean training volume.
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "evaluate_steps.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {

const std::array<MetricName, 5> kMetrics{{
    {"psnr_db", "PSNR", "dB", &ImageQuality::psnr_db, true},
    {"ssim_3d", "SSIM 3D", "", &ImageQuality::ssim_3d, true},
    {"ssim_2d", "SSIM 2D", "", &ImageQuality::ssim_2d, true},
    {"mae_hu", "MAE", "HU", &ImageQuality::mae, false},
    {"mse_hu2", "MSE", "HU²", &ImageQuality::mse, false},
}};

namespace {

torch::Tensor clipped(const Volume& volume, const IntensityWindow& window) {
  return volume.hu.clamp(window.min_hu, window.max_hu);
}

// Running mean of the training volumes of the first one's grid.
void add_mean_volume(ImageEvaluation& images, const EvaluationInputs& inputs,
                     std::vector<Problem>& problems) {
  if (inputs.training_volumes.empty()) return;
  Progress progress("mean training volume", int64_t(inputs.training_volumes.size()));
  torch::Tensor sum;
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

std::optional<ImageQuality> compare(const torch::Tensor& truth, const torch::Tensor& image,
                                    const IntensityWindow& window) {
  if (!image.defined() || image.sizes() != truth.sizes()) return std::nullopt;
  return image_quality(truth, image, window.max_hu - window.min_hu);
}

torch::Tensor read_generated(const SamplePair& pair, const torch::Tensor& truth,
                             const IntensityWindow& window) {
  const auto image = clipped(read_oriented(pair.generated), window);
  if (image.sizes() != truth.sizes()) {
    throw Error(fmt::format("other grid: the generated volume is {}x{}x{}, the true one {}x{}x{}",
                            image.size(0), image.size(1), image.size(2), truth.size(0),
                            truth.size(1), truth.size(2)));
  }
  if (!image.isfinite().all().item<bool>()) throw Error("the generated volume holds NaN");
  return image;
}

CaseResult evaluate_case(const SamplePair& pair, const SamplePair* wrong,
                         const ImageEvaluation& images, const IntensityWindow& window) {
  CaseResult result;
  result.pair = pair;
  const auto truth = clipped(read_oriented(pair.real), window);
  result.quality[kGenerated] = compare(truth, read_generated(pair, truth, window), window);
  result.quality[kMeanVolume] = compare(truth, images.mean_volume, window);
  if (wrong == nullptr) return result;
  try {
    result.quality[kWrongCxr] = compare(truth, read_generated(*wrong, truth, window), window);
    result.wrong_case_id = wrong->case_id;
  } catch (const Error&) {
    // The partner's own row names the reason; this case goes without this baseline.
  }
  return result;
}

double quantile(const std::vector<double>& ascending, double q) {
  const double position = q * double(ascending.size() - 1);
  const size_t below = size_t(position), above = std::min(below + 1, ascending.size() - 1);
  if (ascending[below] == ascending[above]) return ascending[below];
  return ascending[below] + (position - double(below)) * (ascending[above] - ascending[below]);
}

MetricSummary summarise(const MetricName& metric, const std::vector<CaseResult>& cases) {
  MetricSummary summary{metric, {}, {}};
  for (int source = 0; source < kSources; ++source) {
    std::vector<double> values, own, baseline;
    for (const CaseResult& c : cases) {
      if (!c.quality[source]) continue;
      values.push_back((*c.quality[source]).*metric.member);
      own.push_back((*c.quality[kGenerated]).*metric.member);
    }
    if (source != kGenerated && !values.empty()) {
      summary.tests[source] = BaselineTest{wilcoxon_signed_rank(own, values)};
    }
    summary.sources[source] = distribution_of(std::move(values));
  }
  return summary;
}

// Holm over every metric and both baselines together.
void correct(std::vector<MetricSummary>& metrics) {
  std::vector<BaselineTest*> tests;
  std::vector<double> p;
  for (auto& summary : metrics) {
    for (auto& test : summary.tests) {
      if (!test) continue;
      tests.push_back(&*test);
      p.push_back(test->wilcoxon.p);
    }
  }
  const auto adjusted = holm_adjusted(p);
  for (size_t i = 0; i < tests.size(); ++i) tests[i]->p_holm = adjusted[i];
}

}  // namespace

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

ImageEvaluation evaluate_images(const EvaluationInputs& inputs, int64_t seed,
                                std::vector<Problem>& problems) {
  ImageEvaluation images;
  if (inputs.pairs.empty()) return images;
  add_mean_volume(images, inputs, problems);
  std::vector<std::string> patients;
  for (const auto& pair : inputs.pairs) patients.push_back(pair.patient_id);
  const auto partners = draw_wrong_partners(patients, seed);
  Progress progress("image metrics", int64_t(inputs.pairs.size()));
  for (size_t i = 0; i < inputs.pairs.size(); ++i) {
    stop_if_interrupted();
    const SamplePair& pair = inputs.pairs[i];
    const SamplePair* wrong = partners[i] < 0 ? nullptr : &inputs.pairs[partners[i]];
    try {
      images.cases.push_back(evaluate_case(pair, wrong, images, inputs.window));
      if (wrong == nullptr)
        problems.push_back(
            {"no wrong CXR", pair.case_id, "no case of another patient is left to take"});
    } catch (const Error& e) {
      problems.push_back({"not evaluated", pair.case_id, e.what(), true});
    }
    progress.advance();
  }
  if (images.cases.empty()) return images;
  for (const MetricName& metric : kMetrics)
    images.metrics.push_back(summarise(metric, images.cases));
  correct(images.metrics);
  return images;
}

}  // namespace x2ctpa
