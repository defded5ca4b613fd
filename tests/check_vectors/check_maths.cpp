#include <ATen/ATen.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "case.h"
#include "support/closed_form_denoiser.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa::check {
namespace {

// "dpmpp2m_leading_25" -> the sampler, and the number of steps at the end; none for other names.
std::optional<SamplerOptions> options_of(const std::string& name) {
  const auto kind = find_word<Sampler>(name.substr(0, name.find('_')));
  const auto digits = name.substr(name.rfind('_') + 1);
  const bool number =
      !digits.empty() && digits.find_first_not_of("0123456789") == std::string::npos;
  if (!number || !kind) return std::nullopt;
  SamplerOptions options;
  options.kind = *kind;
  options.steps = std::stoll(digits);
  options.clamp = options.kind == Sampler::ddim ? 1 : 0;  // diffusers' default clip_sample
  options.keep_noise = true;
  return options;
}

// The spacing that gives the stored timesteps; trailing when none does.
TimestepSpacing spacing_of(const NoiseSchedule& schedule, SamplerOptions options,
                           const at::Tensor& timesteps) {
  for (const auto spacing :
       {TimestepSpacing::trailing, TimestepSpacing::leading, TimestepSpacing::linspace}) {
    options.timesteps = spacing;
    if (at::tensor(timesteps_of(schedule, options)).equal(timesteps)) return spacing;
  }
  return TimestepSpacing::trailing;
}

}  // namespace

void check_samplers(Case& c) {
  const NoiseSchedule schedule{ScheduleOptions{}};
  const auto alphas = test::alphas_of_diffusers(schedule);
  const auto rounded = test::multistep_schedule_of_diffusers(alphas);
  const auto denoiser = test::closed_form_denoiser(alphas, c.input("target"));
  for (const auto& [name, expected] : c.tensors()) {
    const auto found = options_of(name);
    if (!found) continue;
    SamplerOptions options = *found;
    if (c.has(name + "_timesteps")) {
      options.timesteps = spacing_of(schedule, options, c.tensors().at(name + "_timesteps"));
      c.compare(name + "_timesteps", at::tensor(timesteps_of(schedule, options)));
    }
    const auto& own = options.kind == Sampler::ddim ? schedule : rounded;
    c.compare(name, sample(own, Prediction::noise, options, denoiser, c.input("x_T"), {}));
  }
}

void check_metrics(Case& c) {
  const auto& numbers = c.hyperparameters();
  const auto q =
      image_quality(c.input("volume_a"), c.input("volume_b"), numbers.at("range").get<double>());
  c.compare_number(numbers, "psnr", q.psnr_db);
  c.compare_number(numbers, "mse", q.mse);
  c.compare_number(numbers, "mae", q.mae);
  c.compare_number(numbers, "ssim_gaussian3d", q.ssim_3d);
  c.compare_number(numbers, "ssim_slicewise_gaussian", q.ssim_2d);
  if (numbers.contains("ssim_uniform7_3d")) {
    fmt::print(stderr, "ssim_uniform7_3d: not compared, x2ctpa has the Gaussian window alone\n");
  }

  const auto values = [&](const std::string& name) {
    const auto x = c.input(name).to(at::kDouble).contiguous();
    return std::vector<double>(x.const_data_ptr<double>(), x.const_data_ptr<double>() + x.numel());
  };
  const auto first = values("scores1"), second = values("scores2"), truth = values("labels");
  const std::vector<int> labels(truth.begin(), truth.end());
  const auto one = delong_auc(labels, first), two = delong_auc(labels, second);
  c.compare_number(numbers, "auc1", one.auc);
  c.compare_number(numbers, "auc2", two.auc);
  c.compare_number(numbers, "delong_se1", one.standard_error);
  c.compare_number(numbers, "delong_se2", two.standard_error);
  const auto paired = delong_paired(labels, first, second);
  c.compare_number(numbers, "delong_z", paired.z);
  c.compare_number(numbers, "delong_p", paired.p);
  c.compare_number(numbers, "ap1", average_precision(labels, first));
  c.compare_number(numbers, "brier1", brier_score(labels, first));
  const auto ks = kolmogorov_smirnov(first, second);
  c.compare_number(numbers, "ks_stat", ks.statistic);
  c.compare_number(numbers, "ks_p", ks.p);

  if (!numbers.contains("at_threshold_half")) return;
  const auto& half = numbers.at("at_threshold_half");
  const auto counts = confusion_at(labels, first, 0.5);
  c.compare_number(half, "tp", double(counts.true_positive));
  c.compare_number(half, "tn", double(counts.true_negative));
  c.compare_number(half, "fp", double(counts.false_positive));
  c.compare_number(half, "fn", double(counts.false_negative));
  c.compare_number(half, "accuracy", counts.accuracy().value);
  c.compare_number(half, "sensitivity", counts.sensitivity().value);
  c.compare_number(half, "specificity", counts.specificity().value);
  c.compare_number(half, "ppv", counts.positive_predictive_value().value);
  c.compare_number(half, "npv", counts.negative_predictive_value().value);
}

}  // namespace x2ctpa::check
