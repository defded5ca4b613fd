#include "x2ctpa/diffusion/objective.h"

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void DiffusionProcess::describe(OptionList& options) {
  options.section("schedule", schedule);
  options.add("prediction", &prediction, "What the denoiser predicts.", {.choices = {"noise", "x0", "v"}});
}

Prediction prediction_from(const std::string& word) {
  if (word == "noise") return Prediction::noise;
  if (word == "x0") return Prediction::x0;
  if (word == "v") return Prediction::v;
  throw Error(fmt::format("the prediction must be noise, x0 or v, found \"{}\"", word));
}

namespace {

/// a_t per sample, as (B, 1, 1, 1, 1) of x's type and device.
at::Tensor gathered(const NoiseSchedule& schedule, const at::Tensor& t, const at::Tensor& x) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[0] = x.size(0);
  return schedule.alphas_cumprod().index_select(0, t.to(at::kCPU)).to(x.options()).reshape(shape);
}

}  // namespace

at::Tensor q_sample(const NoiseSchedule& schedule, const at::Tensor& x0, const at::Tensor& t, const at::Tensor& eps) {
  const auto a = gathered(schedule, t, x0);
  return a.sqrt() * x0 + (1 - a).sqrt() * eps;
}

at::Tensor prediction_target(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x0, const at::Tensor& t,
                             const at::Tensor& eps) {
  if (kind == Prediction::noise) return eps;
  if (kind == Prediction::x0) return x0;
  const auto a = gathered(schedule, t, x0);
  return a.sqrt() * eps - (1 - a).sqrt() * x0;
}

Denoised denoised(Prediction kind, double alpha_bar, const at::Tensor& x_t, const at::Tensor& prediction) {
  const double signal = std::sqrt(alpha_bar), noise = std::sqrt(1 - alpha_bar);
  switch (kind) {
    case Prediction::noise:
      // At zero signal the division is meaningless; the schedules keep signal > 0 for this kind.
      return {(x_t - noise * prediction) / std::max(signal, 1e-8), prediction};
    case Prediction::x0:
      return {prediction, (x_t - signal * prediction) / std::max(noise, 1e-8)};
    case Prediction::v:
      break;
  }
  return {signal * x_t - noise * prediction, noise * x_t + signal * prediction};
}

at::Tensor prediction_loss(const std::string& loss, const at::Tensor& prediction, const at::Tensor& target) {
  if (loss == "l1") return (prediction - target).abs().mean();
  if (loss == "mse") return (prediction - target).square().mean();
  throw Error(fmt::format("the loss must be l1 or mse, found \"{}\"", loss));
}

}  // namespace x2ctpa
