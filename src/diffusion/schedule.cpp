#include "x2ctpa/diffusion/schedule.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void ScheduleOptions::describe(OptionList& options) {
  options.add("kind", &kind, "Noise schedule.");
  options.add("timesteps", &timesteps, "Timesteps T of the forward process.",
              {.min = 2, .max = 100000});
  options.add("zero_terminal_snr", &zero_terminal_snr,
              "Rescale so that the last timestep is pure noise; not for noise prediction.");
}

namespace {

std::vector<double> betas_of(const ScheduleOptions& options) {
  const auto n = options.timesteps;
  std::vector<double> betas(n);
  const auto cosine = [n](double t) {
    const double angle = (t / double(n) + 0.008) / 1.008 * std::numbers::pi / 2;
    return std::cos(angle) * std::cos(angle);
  };
  for (int64_t t = 0; t < n; ++t) {
    const double fraction = double(t) / double(n - 1);
    double& beta = betas[size_t(t)];
    if (options.kind == NoiseScheduleKind::cosine)
      beta = std::min(1 - cosine(double(t + 1)) / cosine(double(t)), 0.9999);
    else if (options.kind == NoiseScheduleKind::linear)
      beta = 1e-4 + fraction * (2e-2 - 1e-4);
    else
      beta = std::pow(std::sqrt(0.00085) + fraction * (std::sqrt(0.012) - std::sqrt(0.00085)), 2);
  }
  return betas;
}

}  // namespace

double Mixture::lambda() const { return std::log(signal) - std::log(noise); }

NoiseSchedule::NoiseSchedule(const ScheduleOptions& options) {
  if (options.kind == NoiseScheduleKind::rectified_flow) {
    noise_ = at::arange(1, options.timesteps + 1, at::kDouble) / double(options.timesteps);
    signal_ = 1 - noise_;
    return;
  }
  const auto betas = betas_of(options);
  auto alphas_cumprod = at::empty({options.timesteps}, at::kDouble);
  double* a = alphas_cumprod.data_ptr<double>();
  double product = 1;
  for (size_t t = 0; t < betas.size(); ++t) a[t] = product *= 1 - betas[t];
  if (options.zero_terminal_snr) {
    // Shift and scale sqrt(a) so that the first stays and the last becomes 0.
    const auto root = alphas_cumprod.sqrt();
    const double first = root[0].item<double>(), last = root[-1].item<double>();
    alphas_cumprod = ((root - last) * (first / (first - last))).square();
  }
  signal_ = alphas_cumprod.sqrt();
  noise_ = (1 - alphas_cumprod).sqrt();
}

NoiseSchedule::NoiseSchedule(const at::Tensor& signal, const at::Tensor& noise)
    : signal_(signal.to(at::kCPU, at::kDouble).contiguous()),
      noise_(noise.to(at::kCPU, at::kDouble).contiguous()) {
  if (signal_.dim() != 1 || noise_.dim() != 1 || signal_.numel() != noise_.numel()) {
    throw Error(
        fmt::format("a noise schedule needs signal and noise of one size, found {} and {} values",
                    signal_.numel(), noise_.numel()));
  }
}

Mixture NoiseSchedule::at(int64_t t) const {
  if (t < 0) return {1, 0};
  return {signal_.const_data_ptr<double>()[t], noise_.const_data_ptr<double>()[t]};
}

std::vector<int64_t> sampling_timesteps(int64_t timesteps, int64_t steps, TimestepSpacing spacing,
                                        bool without_zero) {
  const bool trailing = spacing == TimestepSpacing::trailing;
  const int64_t points = steps + (without_zero && !trailing ? 1 : 0);
  if (steps < 1 || points > timesteps) {
    throw Error(
        fmt::format("sampling needs between 1 and {} steps (the timesteps of the model), found {}",
                    timesteps - (points - steps), steps));
  }
  std::vector<int64_t> out;
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t from_end = points - 1 - i;
    if (trailing) {
      out.push_back(
          int64_t(std::nearbyint(double(timesteps) - double(i * timesteps) / double(steps))) - 1);
    } else if (spacing == TimestepSpacing::leading) {
      out.push_back(from_end * (timesteps / points));
    } else {
      const double fraction = points > 1 ? double(from_end) / double(points - 1) : 1;
      out.push_back(int64_t(std::nearbyint(double(timesteps - 1) * fraction)));
    }
  }
  return out;
}

}  // namespace x2ctpa
