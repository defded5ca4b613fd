// Samplers over any denoiser: DDPM (ancestral, arXiv 2006.11239), DDIM (arXiv 2010.02502),
// DPM-Solver++(2M) (arXiv 2211.01095), UniPC (arXiv 2302.04867) and Euler steps of rectified flow
// (arXiv 2209.03003).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <vector>

#include "x2ctpa/diffusion/objective.h"

namespace x2ctpa {

enum class Sampler { ddim, ddpm, dpmpp2m, unipc, euler };
constexpr auto words(Sampler) { return std::array{"ddim", "ddpm", "dpmpp2m", "unipc", "euler"}; }

struct SamplerOptions {
  Sampler kind = Sampler::dpmpp2m;
  int64_t steps = 15;
  TimestepSpacing timesteps = TimestepSpacing::trailing;
  double eta = 0;
  double guidance_scale = 1;
  double guidance_rescale = 0;
  std::vector<double> guidance_interval;
  double clamp = 0;
  double dynamic_threshold = 0;
  bool keep_noise = false;
  double temperature = 1;

  void describe(OptionList& options);
};

/// (x_t (B, C, D, H, W), t (B) int64) -> prediction of x_t's shape.
using DenoiserFunction = std::function<at::Tensor(const at::Tensor& x_t, const at::Tensor& t)>;
/// Fresh standard normal noise of x_T's shape for step number `step`; called by DDPM and by DDIM
/// with eta above 0 only, and not for a step that adds none.
using NoiseFunction = std::function<at::Tensor(int64_t step)>;

/// Another estimate of x_0 in the place of `x0`, found at mixture `now` in step number `step`.
using X0Correction = std::function<at::Tensor(const at::Tensor& x0, Mixture now, int64_t step)>;

/// The timesteps that sample() visits, from noisy to clean.
std::vector<int64_t> timesteps_of(const NoiseSchedule& schedule, const SamplerOptions& options);

/// x_0 from x_T. `correct` may change each step's estimate of x_0, after its limits; the noise is
/// then that which leads from it to x_t. Throws Error for euler on another schedule than
/// rectified-flow.
at::Tensor sample(const NoiseSchedule& schedule, Prediction prediction,
                  const SamplerOptions& options, const DenoiserFunction& denoiser, at::Tensor x_T,
                  const NoiseFunction& noise, const X0Correction& correct = {});

/// x_0 limited as the options say: to +-clamp; or with dynamic thresholding (Imagen, arXiv
/// 2205.11487) to the `dynamic_threshold` quantile s of its own absolute values, per sample, where
/// s is above the clamp (1 if not set), and then scaled by clamp / s.
at::Tensor limited(const SamplerOptions& options, const at::Tensor& x0);

/// One step of DDPM or DDIM from mixture `now` to `next` (equation 16 of arXiv 2010.02502; at
/// eta 1 the ancestral step): x_next = signal x_0 + sqrt(noise^2 - sigma^2) eps + sigma fresh.
at::Tensor ddim_step(Mixture now, Mixture next, const Denoised& d, double eta,
                     const std::function<at::Tensor()>& fresh);

/// x_0 and eps of a prediction at x_t, limited as the options say. The noise is then that which
/// leads from the limited x_0 to x_t, unless `keep_noise`.
Denoised denoised(const SamplerOptions& options, Prediction kind, Mixture now,
                  const at::Tensor& x_t, const at::Tensor& prediction);

}  // namespace x2ctpa
