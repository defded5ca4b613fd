// Samplers over any denoiser: DDPM (ancestral, arXiv 2006.11239) and DDIM (arXiv 2010.02502).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

#include "x2ctpa/diffusion/objective.h"

namespace x2ctpa {

struct SamplerOptions {
  std::string kind = "ddim";
  int64_t steps = 20;
  double eta = 0;
  double guidance_scale = 1;
  double clamp = 0;

  void describe(OptionList& options);
};

/// (x_t (B, C, D, H, W), t (B) int64) -> prediction of x_t's shape.
using DenoiserFunction = std::function<at::Tensor(const at::Tensor& x_t, const at::Tensor& t)>;
/// Fresh standard normal noise of x_T's shape for step number `step`; not called when eta is 0.
using NoiseFunction = std::function<at::Tensor(int64_t step)>;

/// x_0 from x_T. `noise` feeds DDPM and DDIM with eta > 0.
at::Tensor sample(const NoiseSchedule& schedule, Prediction prediction, const SamplerOptions& options,
                  const DenoiserFunction& denoiser, at::Tensor x_T, const NoiseFunction& noise);

}  // namespace x2ctpa
