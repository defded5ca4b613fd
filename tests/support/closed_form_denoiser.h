// The denoiser of the `samplers` reference vectors: exact for latents distributed as
// N(target, 0.3^2) per element.
#pragma once

#include <ATen/ATen.h>

#include <cmath>

#include "x2ctpa/diffusion/sampler.h"

namespace x2ctpa::test {

/// signal^2 / (signal^2 + noise^2) of one timestep, a_t where the variance is preserved.
inline double alpha_bar(const NoiseSchedule& schedule, int64_t t) {
  const auto [signal, noise] = schedule.at(t);
  return signal * signal / (signal * signal + noise * noise);
}

/// alphas_cumprod in float32 as diffusers makes them from given betas. Near the last timestep x_0
/// is a difference of two numbers that agree in their first four digits, so that the results keep
/// the roundings of the alphas that the denoiser was made with.
inline at::Tensor alphas_of_diffusers(const NoiseSchedule& schedule) {
  const auto a = schedule.signal().square();
  const auto before = at::cat({at::ones({1}, at::kDouble), a.slice(0, 0, -1)});
  const auto betas = (1 - a / before).to(at::kFloat);
  return (1 - betas).cumprod(0);
}

/// The schedule as diffusers' multistep schedulers hold it, in float32: sigma = noise / signal.
inline NoiseSchedule multistep_schedule_of_diffusers(const at::Tensor& alphas) {
  const auto sigma = ((1 - alphas) / alphas).sqrt();
  const auto signal = 1 / (sigma.square() + 1).sqrt();
  return NoiseSchedule(signal, sigma * signal);
}

/// eps(x, t) = sqrt(1 - a) (x - sqrt(a) target) / (0.09 a + 1 - a), in the type of `target`.
inline DenoiserFunction closed_form_denoiser(const at::Tensor& alphas, const at::Tensor& target) {
  return [alphas, target](const at::Tensor& x, const at::Tensor& t) {
    const auto a = alphas[t[0].item<int64_t>()].to(target.scalar_type());
    return (1 - a).sqrt() * (x - a.sqrt() * target) / (0.09 * a + 1 - a);
  };
}

}  // namespace x2ctpa::test
