// Noise schedules of discrete-time diffusion (Ho et al., arXiv 2006.11239).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct ScheduleOptions {
  std::string kind = "cosine";
  int64_t timesteps = 1000;
  bool zero_terminal_snr = false;

  void describe(OptionList& options);
};

/// alphas_cumprod of every timestep 0..T-1, float64 on the CPU.
/// x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps.
class NoiseSchedule {
 public:
  /// "cosine": Nichol and Dhariwal, arXiv 2102.09672, s = 0.008, betas clipped to 0.9999;
  /// "linear": betas 1e-4 to 2e-2; "scaled-linear": square roots evenly from 0.00085 to 0.012.
  /// zero_terminal_snr rescales so that the last step is pure noise (arXiv 2305.08891).
  explicit NoiseSchedule(const ScheduleOptions& options);

  int64_t timesteps() const { return alphas_cumprod_.numel(); }
  const at::Tensor& alphas_cumprod() const { return alphas_cumprod_; }
  /// a_t of one timestep; t = -1 is the clean end, 1.
  double alpha_bar(int64_t t) const;

 private:
  at::Tensor alphas_cumprod_;
};

/// `steps` timesteps from noisy to clean, the last timestep included ("trailing" of arXiv
/// 2305.08891). steps is at most the schedule's number of timesteps.
std::vector<int64_t> trailing_timesteps(int64_t timesteps, int64_t steps);

}  // namespace x2ctpa
