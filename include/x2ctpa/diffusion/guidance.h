// Classifier-free guidance (arXiv 2207.12598), its rescaling (arXiv 2305.08891, section 3.4) and
// the interval of noise levels that it is confined to (arXiv 2404.07724).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "x2ctpa/diffusion/sampler.h"

namespace x2ctpa {

/// Whether the noise level noise / signal of `now` lies in `interval`, which excludes its lower and
/// includes its upper end; empty: always. Throws Error naming `option` when it is not empty and its
/// ends are not ascending.
bool in_noise_interval(const std::vector<double>& interval, Mixture now, const char* option);

/// Whether both predictions are needed at mixture `now`: the scale is not 1, and the noise level
/// lies in the interval.
bool guidance_acts(const SamplerOptions& options, Mixture now);

/// null + scale (own - null), and of that the share `guidance_rescale` brought, per sample, to the
/// standard deviation of `own`. Both (B, C, D, H, W): the prediction under the condition, and
/// without it.
at::Tensor guided(const SamplerOptions& options, const at::Tensor& own, const at::Tensor& null);

}  // namespace x2ctpa
