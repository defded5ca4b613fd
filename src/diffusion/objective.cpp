#include "x2ctpa/diffusion/objective.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

void DiffusionProcess::describe(OptionList& options) {
  options.section("schedule", schedule);
  options.add("prediction", &prediction, "What the denoiser predicts.");
  options.add("x0_limit", &x0_limit,
              "Clean latents lie within +-this, so sampling clamps them there unless its own clamp "
              "is set; 0: no limit.",
              {.min = 0});
  options.add(
      "quantise_latents", &quantise_latents,
      "Decode generated latents by the VQ-GAN's nearest codes, as the published code does.");
}

void check_process(const DiffusionProcess& process) {
  const auto& schedule = process.schedule;
  const bool flow = schedule.kind == NoiseScheduleKind::rectified_flow;
  if (process.prediction == Prediction::noise && (schedule.zero_terminal_snr || flow)) {
    throw Error(
        fmt::format("prediction noise with {}: at the last timestep x_t is nothing but noise, "
                    "which says nothing of the "
                    "clean latent. Predict v, x0 or flow instead.",
                    flow ? "the schedule rectified-flow" : "schedule.zero_terminal_snr"));
  }
  if (process.prediction == Prediction::v && flow) {
    throw Error(
        "prediction v is not defined on the schedule rectified-flow; predict flow, or take the "
        "schedule cosine");
  }
}

namespace {

// `values` at each sample's timestep, as (B, 1, 1, 1, 1) of x's type and device.
at::Tensor gathered(const at::Tensor& values, const at::Tensor& t, const at::Tensor& x) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[0] = x.size(0);
  return values.index_select(0, t.to(at::kCPU)).to(x.options()).reshape(shape);
}

}  // namespace

at::Tensor q_sample(const NoiseSchedule& schedule, const at::Tensor& x0, const at::Tensor& t,
                    const at::Tensor& eps) {
  return gathered(schedule.signal(), t, x0) * x0 + gathered(schedule.noise(), t, x0) * eps;
}

at::Tensor prediction_target(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x0,
                             const at::Tensor& t, const at::Tensor& eps) {
  switch (kind) {
    case Prediction::noise:
      return eps;
    case Prediction::x0:
      return x0;
    case Prediction::flow:
      return eps - x0;
    case Prediction::v:
      break;
  }
  return gathered(schedule.signal(), t, x0) * eps - gathered(schedule.noise(), t, x0) * x0;
}

Denoised denoised(Prediction kind, Mixture now, const at::Tensor& x_t,
                  const at::Tensor& prediction) {
  const auto [signal, noise] = now;
  switch (kind) {
    case Prediction::noise:
      // At zero signal the division is meaningless; the schedules keep signal > 0 for this kind.
      return {(x_t - noise * prediction) / std::max(signal, 1e-8), prediction};
    case Prediction::x0:
      return {prediction, (x_t - signal * prediction) / std::max(noise, 1e-8)};
    case Prediction::flow:
      return {(x_t - noise * prediction) / (signal + noise),
              (x_t + signal * prediction) / (signal + noise)};
    case Prediction::v:
      break;
  }
  return {signal * x_t - noise * prediction, noise * x_t + signal * prediction};
}

at::Tensor predicted_x0(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x_t,
                        const at::Tensor& t, const at::Tensor& prediction) {
  const auto signal = gathered(schedule.signal(), t, x_t),
             noise = gathered(schedule.noise(), t, x_t);
  switch (kind) {
    case Prediction::noise:
      return (x_t - noise * prediction) / signal.clamp_min(1e-8);
    case Prediction::x0:
      return prediction;
    case Prediction::flow:
      return (x_t - noise * prediction) / (signal + noise);
    case Prediction::v:
      break;
  }
  return signal * x_t - noise * prediction;
}

}  // namespace x2ctpa
