// Noise schedules of discrete-time diffusion (Ho et al., arXiv 2006.11239).
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

enum class NoiseScheduleKind { cosine, linear, scaled_linear, rectified_flow };
constexpr auto words(NoiseScheduleKind) {
  return std::array{"cosine", "linear", "scaled-linear", "rectified-flow"};
}

struct ScheduleOptions {
  NoiseScheduleKind kind = NoiseScheduleKind::cosine;
  int64_t timesteps = 1000;
  bool zero_terminal_snr = false;

  void describe(OptionList& options);
};

/// Shares of the clean latent and of the noise at one time: x_t = signal x_0 + noise eps.
struct Mixture {
  double signal, noise;

  /// log(signal / noise), half the log signal-to-noise ratio; infinite at both ends.
  double lambda() const;
};

/// The mixture of every timestep 0..T-1, float64 on the CPU.
class NoiseSchedule {
 public:
  /// cosine: Nichol and Dhariwal, arXiv 2102.09672, s = 0.008, betas clipped to 0.9999;
  /// linear: betas 1e-4 to 2e-2; scaled-linear: square roots evenly from 0.00085 to 0.012.
  /// These preserve the variance: signal^2 = a_t (alphas_cumprod), noise^2 = 1 - a_t.
  /// rectified-flow (arXiv 2209.03003): signal = 1 - s, noise = s with s = (t + 1) / T.
  /// zero_terminal_snr rescales so that the last step is pure noise (arXiv 2305.08891).
  explicit NoiseSchedule(const ScheduleOptions& options);

  /// A schedule of one's own: (T) each. Throws Error when their sizes differ.
  NoiseSchedule(const at::Tensor& signal, const at::Tensor& noise);

  int64_t timesteps() const { return signal_.numel(); }
  const at::Tensor& signal() const { return signal_; }
  const at::Tensor& noise() const { return noise_; }

  /// The mixture of one timestep; t = -1 is the clean end.
  Mixture at(int64_t t) const;

 private:
  at::Tensor signal_, noise_;
};

/// trailing (arXiv 2305.08891): evenly from the last timestep, without 0;
/// leading: the multiples of floor(T / steps), from 0, without the last timestep;
/// linspace: evenly from the last timestep to 0, both included.
enum class TimestepSpacing { trailing, leading, linspace };
constexpr auto words(TimestepSpacing) { return std::array{"trailing", "leading", "linspace"}; }

/// `steps` timesteps from noisy to clean.
/// `without_zero`: for solvers that themselves go on to the clean end, leading and linspace are
/// made for a step more, and lose their 0. All as in diffusers.
/// Throws Error for more steps than the schedule can serve.
std::vector<int64_t> sampling_timesteps(int64_t timesteps, int64_t steps, TimestepSpacing spacing,
                                        bool without_zero = false);

}  // namespace x2ctpa
