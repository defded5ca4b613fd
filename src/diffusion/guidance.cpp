#include "x2ctpa/diffusion/guidance.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

bool in_noise_interval(const std::vector<double>& interval, Mixture now, const char* option) {
  if (interval.empty()) return true;
  if (interval.size() != 2 || !(interval[0] < interval[1]))
    throw Error(fmt::format("{} must be two ascending noise levels, or empty", option));
  // Without division: pure noise has no signal.
  return now.noise > interval[0] * now.signal && now.noise <= interval[1] * now.signal;
}

bool guidance_acts(const SamplerOptions& options, Mixture now) {
  return options.guidance_scale != 1 &&
         in_noise_interval(options.guidance_interval, now, "sampler.guidance_interval");
}

at::Tensor guided(const SamplerOptions& options, const at::Tensor& own, const at::Tensor& null) {
  const at::Tensor mixed = null + options.guidance_scale * (own - null);
  if (options.guidance_rescale == 0) return mixed;
  std::vector<int64_t> axes;
  for (int64_t axis = 1; axis < own.dim(); ++axis) axes.push_back(axis);
  const auto deviation = [&](const at::Tensor& x) {
    return (x.scalar_type() == at::kDouble ? x : x.to(at::kFloat))
        .std(axes, /*unbiased=*/false, /*keepdim=*/true);
  };
  const auto factor = deviation(own) / deviation(mixed).clamp_min(1e-12);
  return mixed *
         (1 - options.guidance_rescale + options.guidance_rescale * factor).to(mixed.scalar_type());
}

}  // namespace x2ctpa
