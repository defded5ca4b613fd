#include "x2ctpa/diffusion/schedule.h"

#include <cmath>
#include <numbers>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void ScheduleOptions::describe(OptionList& options) {
  options.add("kind", &kind, "Noise schedule.", {.choices = {"cosine", "linear", "scaled-linear"}});
  options.add("timesteps", &timesteps, "Timesteps T of the forward process.", {.min = 2, .max = 100000});
  options.add("zero_terminal_snr", &zero_terminal_snr,
              "Rescale so that the last timestep is pure noise; not for noise prediction.");
}

namespace {

std::vector<double> betas_of(const ScheduleOptions& options) {
  const auto n = options.timesteps;
  std::vector<double> betas(static_cast<size_t>(n));
  const auto cosine = [n](double t) {
    const double angle = (t / double(n) + 0.008) / 1.008 * std::numbers::pi / 2;
    return std::cos(angle) * std::cos(angle);
  };
  for (int64_t t = 0; t < n; ++t) {
    const double fraction = double(t) / double(n - 1);
    double& beta = betas[size_t(t)];
    if (options.kind == "cosine") beta = std::min(1 - cosine(double(t + 1)) / cosine(double(t)), 0.9999);
    else if (options.kind == "linear") beta = 1e-4 + fraction * (2e-2 - 1e-4);
    else beta = std::pow(std::sqrt(0.00085) + fraction * (std::sqrt(0.012) - std::sqrt(0.00085)), 2);
  }
  return betas;
}

}  // namespace

NoiseSchedule::NoiseSchedule(const ScheduleOptions& options) {
  const auto betas = betas_of(options);
  alphas_cumprod_ = at::empty({options.timesteps}, at::kDouble);
  double* a = alphas_cumprod_.data_ptr<double>();
  double product = 1;
  for (size_t t = 0; t < betas.size(); ++t) a[t] = product *= 1 - betas[t];
  if (options.zero_terminal_snr) {
    // Shift and scale sqrt(a) so that the first stays and the last becomes 0.
    const auto root = alphas_cumprod_.sqrt();
    const double first = root[0].item<double>(), last = root[-1].item<double>();
    alphas_cumprod_ = ((root - last) * (first / (first - last))).square();
  }
}

double NoiseSchedule::alpha_bar(int64_t t) const {
  return t < 0 ? 1.0 : alphas_cumprod_.const_data_ptr<double>()[t];
}

std::vector<int64_t> trailing_timesteps(int64_t timesteps, int64_t steps) {
  if (steps < 1 || steps > timesteps) {
    throw Error(fmt::format("sampling needs between 1 and {} steps (the timesteps of the model), found {}", timesteps, steps));
  }
  std::vector<int64_t> out;
  for (int64_t i = 0; i < steps; ++i) {
    out.push_back(std::llround(double(timesteps) - double(i) * double(timesteps) / double(steps)) - 1);
  }
  return out;
}

}  // namespace x2ctpa
