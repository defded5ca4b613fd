#include "x2ctpa/diffusion/sampler.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "diffusion/multistep.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void SamplerOptions::describe(OptionList& options) {
  options.add("kind", &kind,
              "ddim: few steps, deterministic at eta 0; ddpm: ancestral; dpmpp2m and unipc: second "
              "order, fewer steps; "
              "euler: for the schedule rectified-flow.");
  options.add("steps", &steps, "Denoising steps per sample.", {.min = 1, .max = 100000});
  options.add("timesteps", &timesteps,
              "trailing: from the last timestep; leading: down to 0; linspace: both.");
  options.add("eta", &eta, "Share of fresh noise in DDIM; 1 is ancestral.", {.min = 0, .max = 1});
  options.add("guidance_scale", &guidance_scale, "Classifier-free guidance; 1 is none.",
              {.min = 0, .max = 100});
  options.add("guidance_rescale", &guidance_rescale,
              "Bring the guided prediction back to the deviation of the unguided one, by this "
              "share (arXiv 2305.08891).",
              {.min = 0, .max = 1});
  options.add("guidance_interval", &guidance_interval,
              "Guide only while noise / signal is above the first and not above the second (arXiv "
              "2404.07724); empty: always.",
              {.min = 0, .count = 2});
  options.add("clamp", &clamp, "Clamp the predicted clean latent to +-clamp; 0 does not.",
              {.min = 0});
  options.add("dynamic_threshold", &dynamic_threshold,
              "Clamp to this quantile of the predicted clean latent instead, where that is above "
              "clamp; 0 does not.",
              {.min = 0, .max = 1});
  options.add("keep_noise", &keep_noise,
              "Keep the predicted noise when the clean latent is clamped, as diffusers does.");
  options.add("temperature", &temperature,
              "Deviation of the noise that is drawn; below 1 samples come closer to each other and "
              "to what is most likely.",
              {.min = 0, .max = 2});
}

namespace {

// Bit for bit as drawn at temperature 1.
at::Tensor scaled(const at::Tensor& noise, double temperature) {
  return temperature == 1 ? noise : noise * temperature;
}

bool multistep(const SamplerOptions& options) {
  return options.kind == Sampler::dpmpp2m || options.kind == Sampler::unipc;
}

// x + (s_next - s) u with the velocity u = eps - x_0.
at::Tensor euler_step(const at::Tensor& x, const Denoised& d, Mixture now, Mixture next) {
  if (std::abs(now.signal + now.noise - 1) > 1e-6) {
    throw Error(
        "the sampler euler is for the schedule rectified-flow; take ddim, which is its like");
  }
  return x + (next.noise - now.noise) * (d.eps - d.x0);
}

// The sampler's step; `noise` as in sample().
Stepper stepper(const SamplerOptions& options, const NoiseFunction& noise) {
  if (options.kind == Sampler::dpmpp2m) return dpm_solver_pp_2m();
  if (options.kind == Sampler::unipc) return unipc_2();
  if (options.kind == Sampler::euler) return euler_step;
  const double eta = options.kind == Sampler::ddpm ? 1.0 : options.eta;
  return [eta, noise, step = int64_t{0}](const at::Tensor&, const Denoised& d, Mixture now,
                                         Mixture next) mutable {
    const int64_t number = step++;
    return ddim_step(now, next, d, eta, [&] { return noise(number); });
  };
}

}  // namespace

std::vector<int64_t> timesteps_of(const NoiseSchedule& schedule, const SamplerOptions& options) {
  return sampling_timesteps(schedule.timesteps(), options.steps, options.timesteps,
                            multistep(options));
}

at::Tensor limited(const SamplerOptions& options, const at::Tensor& x0) {
  if (options.dynamic_threshold > 0) {
    const double least = options.clamp > 0 ? options.clamp : 1;
    std::vector<int64_t> per_sample(size_t(x0.dim()), 1);
    per_sample[0] = x0.size(0);
    const auto quantile =
        at::quantile(x0.abs().flatten(1).to(at::kFloat), options.dynamic_threshold, 1);
    const auto s = quantile.clamp_min(least).to(x0.scalar_type()).view(per_sample);
    return at::minimum(at::maximum(x0, -s), s) * (least / s);
  }
  return options.clamp > 0 ? x0.clamp(-options.clamp, options.clamp) : x0;
}

Denoised denoised(const SamplerOptions& options, Prediction kind, Mixture now,
                  const at::Tensor& x_t, const at::Tensor& prediction) {
  Denoised d = denoised(kind, now, x_t, prediction);
  if (options.clamp > 0 || options.dynamic_threshold > 0) {
    d.x0 = limited(options, d.x0);
    if (!options.keep_noise) d.eps = (x_t - now.signal * d.x0) / std::max(now.noise, 1e-6);
  }
  return d;
}

at::Tensor ddim_step(Mixture now, Mixture next, const Denoised& d, double eta,
                     const std::function<at::Tensor()>& fresh) {
  // At eta 1, the variance of q(x_next | x_t, x_0).
  const double kept = next.signal > 0 ? now.signal * next.noise / (next.signal * now.noise) : 0;
  const double variance = next.noise * next.noise * std::max(1 - kept * kept, 0.0) * eta * eta;
  auto x = next.signal * d.x0 + std::sqrt(next.noise * next.noise - variance) * d.eps;
  return variance > 0 ? x + std::sqrt(variance) * fresh() : x;
}

at::Tensor sample(const NoiseSchedule& schedule, Prediction prediction,
                  const SamplerOptions& options, const DenoiserFunction& denoiser, at::Tensor x,
                  const NoiseFunction& noise, const X0Correction& correct) {
  const auto times = timesteps_of(schedule, options);
  const Stepper step =
      stepper(options, [&](int64_t number) { return scaled(noise(number), options.temperature); });
  x = scaled(x, options.temperature);
  for (size_t i = 0; i < times.size(); ++i) {
    const Mixture now = schedule.at(times[i]),
                  next = schedule.at(i + 1 < times.size() ? times[i + 1] : -1);
    const auto t = at::full({x.size(0)}, times[i], x.options().dtype(at::kLong));
    Denoised d = denoised(options, prediction, now, x, denoiser(x, t));
    if (correct) {
      d.x0 = correct(d.x0, now, int64_t(i));
      d.eps = (x - now.signal * d.x0) / std::max(now.noise, 1e-6);
    }
    x = step(x, d, now, next);
  }
  return x;
}

}  // namespace x2ctpa
