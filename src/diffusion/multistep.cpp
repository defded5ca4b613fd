#include "diffusion/multistep.h"

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <optional>

namespace x2ctpa {
namespace {

// An estimate of x_0 and the time it was made at.
struct Estimate {
  at::Tensor x0;
  Mixture at;
};

// The exact solution of the diffusion ODE over one step if x_0 stayed at `x0` (equation 4.1 of
// arXiv 2211.01095): x (noise_next / noise) + x_0 (signal_next - signal noise_next / noise). The
// last bracket is -signal_next (exp(-h) - 1), written so that it holds at zero signal too.
at::Tensor exponential_step(const at::Tensor& x, const at::Tensor& x0, Mixture now, Mixture next) {
  const double kept = next.noise / now.noise;
  return kept * x + (next.signal - now.signal * kept) * x0;
}

// x_0 half a step ahead, along the line through two estimates; the newer one alone without an
// older one, and for the last step, which is infinitely long in lambda.
at::Tensor extrapolated(const Estimate& newer, const std::optional<Estimate>& older, Mixture next) {
  if (!older || next.noise == 0) return newer.x0;
  const double h = next.lambda() - newer.at.lambda();
  const double ratio = (newer.at.lambda() - older->at.lambda()) / h;
  return newer.x0 + (newer.x0 - older->x0) / (2 * ratio);
}

// UniPC's state: the step last taken, so that it can be taken again with what is known since.
struct UniPc {
  at::Tensor x;                   // where the last step started
  std::optional<Estimate> newer;  // made there
  std::optional<Estimate> older;  // made a step before
  bool second_order = false;      // the last step used both

  // The last step again, with x_0 at its end known (UniC, section 3.1 of arXiv 2302.04867).
  at::Tensor corrected(const at::Tensor& x0, Mixture now) const {
    const auto change = x0 - newer->x0;
    if (!second_order) return exponential_step(x, newer->x0 + 0.5 * change, newer->at, now);
    const double h = now.lambda() - newer->at.lambda();
    const double ratio = (older->at.lambda() - newer->at.lambda()) / h;  // negative
    // b_k = k! phi_{k+1}(-h) / B(h) of the paper; rho solves the 2x2 Vandermonde system.
    const double first = std::expm1(-h), phi2 = first / -h - 1, phi3 = phi2 / -h - 0.5;
    const double b1 = phi2 / first, b2 = 2 * phi3 / first;
    const double rho_older = (b2 - b1) / (ratio - 1), rho_newer = b1 - rho_older;
    const auto slope = (older->x0 - newer->x0) / ratio;
    return exponential_step(x, newer->x0 + rho_older * slope + rho_newer * change, newer->at, now);
  }

  at::Tensor step(at::Tensor x_t, const at::Tensor& x0, Mixture now, Mixture next) {
    if (newer) x_t = corrected(x0, now);
    older = newer;
    newer = Estimate{x0, now};
    x = x_t;
    second_order = older && next.noise > 0;
    return exponential_step(x_t, extrapolated(*newer, older, next), now, next);
  }
};

}  // namespace

Stepper dpm_solver_pp_2m() {
  const auto last = std::make_shared<std::optional<Estimate>>();
  return [last](const at::Tensor& x, const Denoised& d, Mixture now, Mixture next) {
    const Estimate estimate{d.x0, now};
    const auto x0 = extrapolated(estimate, *last, next);
    *last = estimate;
    return exponential_step(x, x0, now, next);
  };
}

Stepper unipc_2() {
  const auto state = std::make_shared<UniPc>();
  return [state](const at::Tensor& x, const Denoised& d, Mixture now, Mixture next) {
    return state->step(x, d.x0, now, next);
  };
}

}  // namespace x2ctpa
