// What the denoiser predicts.
//
// Latents x_0, noise eps and x_t are (B, C, D, H, W); t is (B) int64.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "x2ctpa/diffusion/schedule.h"

namespace x2ctpa {

/// What the denoiser predicts.
enum class Prediction { noise, x0, v, flow };
constexpr auto words(Prediction) { return std::array{"noise", "x0", "v", "flow"}; }

/// What the denoiser's predictions mean; diffusion.yaml of the model folder.
struct DiffusionProcess {
  ScheduleOptions schedule;
  Prediction prediction = Prediction::v;
  double x0_limit = 0;
  bool quantise_latents = false;

  void describe(OptionList& options);
};

/// Throws Error when the parts do not go together: noise cannot be predicted where nothing else is
/// left of x_t, and v is defined where the schedule preserves the variance.
void check_process(const DiffusionProcess& process);

/// q(x_t | x_0): signal_t x_0 + noise_t eps.
at::Tensor q_sample(const NoiseSchedule& schedule, const at::Tensor& x0, const at::Tensor& t,
                    const at::Tensor& eps);

/// The regression target: eps; x_0; v = signal_t eps - noise_t x_0 (arXiv 2202.00512); or the
/// velocity of rectified flow, eps - x_0 (arXiv 2209.03003).
at::Tensor prediction_target(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x0,
                             const at::Tensor& t, const at::Tensor& eps);

/// x_0 and eps that a prediction at x_t stands for; `now` is the mixture of the whole batch.
/// Prediction::v needs a schedule that preserves the variance.
struct Denoised {
  at::Tensor x0, eps;
};
Denoised denoised(Prediction kind, Mixture now, const at::Tensor& x_t,
                  const at::Tensor& prediction);

/// The x_0 of denoised(), each sample at a t of its own.
at::Tensor predicted_x0(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x_t,
                        const at::Tensor& t, const at::Tensor& prediction);

}  // namespace x2ctpa
