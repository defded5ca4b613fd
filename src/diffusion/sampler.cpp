#include "x2ctpa/diffusion/sampler.h"

#include <cmath>

namespace x2ctpa {

void SamplerOptions::describe(OptionList& options) {
  options.add("kind", &kind, "ddim: few steps, deterministic at eta 0; ddpm: ancestral.", {.choices = {"ddim", "ddpm"}});
  options.add("steps", &steps, "Denoising steps per sample.", {.min = 1, .max = 100000});
  options.add("eta", &eta, "Share of fresh noise in DDIM; 1 is ancestral.", {.min = 0, .max = 1});
  options.add("guidance_scale", &guidance_scale, "Classifier-free guidance; 1 is none.", {.min = 0, .max = 100});
  options.add("clamp", &clamp, "Clamp the predicted clean latent to +-clamp; 0 does not.", {.min = 0});
}

at::Tensor sample(const NoiseSchedule& schedule, Prediction prediction, const SamplerOptions& options,
                  const DenoiserFunction& denoiser, at::Tensor x, const NoiseFunction& noise) {
  const auto steps = trailing_timesteps(schedule.timesteps(), options.steps);
  const double eta = options.kind == "ddpm" ? 1.0 : options.eta;
  for (size_t i = 0; i < steps.size(); ++i) {
    const int64_t t = steps[i];
    const double a = schedule.alpha_bar(t);
    const double a_next = schedule.alpha_bar(i + 1 < steps.size() ? steps[i + 1] : -1);
    const auto t_batch = at::full({x.size(0)}, t, x.options().dtype(at::kLong));
    Denoised d = denoised(prediction, a, x, denoiser(x, t_batch));
    if (options.clamp > 0) {
      d.x0 = d.x0.clamp(-options.clamp, options.clamp);
      d.eps = (x - std::sqrt(a) * d.x0) / std::sqrt(std::max(1 - a, 1e-12));
    }
    // Equation 16 of arXiv 2010.02502; at eta 1 it is the ancestral step of DDPM.
    const double variance = a_next < 1 ? (1 - a_next) / (1 - a) * (1 - a / a_next) : 0.0;
    const double sigma = eta * std::sqrt(std::max(variance, 0.0));
    x = std::sqrt(a_next) * d.x0 + std::sqrt(std::max(1 - a_next - sigma * sigma, 0.0)) * d.eps;
    if (sigma > 0) x = x + sigma * noise(int64_t(i));
  }
  return x;
}

}  // namespace x2ctpa
