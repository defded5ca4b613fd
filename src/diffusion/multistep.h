// Steps that remember the ones before: DPM-Solver++(2M) and UniPC.
#pragma once

#include <functional>

#include "x2ctpa/diffusion/objective.h"

namespace x2ctpa {

/// (x_t, its x_0 and eps, mixture now, mixture next) -> x at the next time.
using Stepper =
    std::function<at::Tensor(const at::Tensor& x, const Denoised& d, Mixture now, Mixture next)>;

/// Second order in two steps, the midpoint form; the last step is of first order.
Stepper dpm_solver_pp_2m();

/// Predictor and corrector of second order, with B(h) = exp(h) - 1, on x_0.
Stepper unipc_2();

}  // namespace x2ctpa
