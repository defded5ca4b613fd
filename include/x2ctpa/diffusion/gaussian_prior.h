// The best linear denoiser of latents, in closed form: what a network beside it need not learn.
// Latents are taken as Gaussian with a covariance of few directions and a variance of each value;
// their expectation given a noisy one follows (Wiener, 1949; with the inverse of Woodbury, 1950).
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/diffusion/objective.h"

namespace x2ctpa {

struct GaussianPriorOptions {
  int64_t components = 0;
  std::vector<int64_t> size;  ///< channels, depth, height and width of the latents

  void describe(OptionList& options);
};

class GaussianPriorImpl : public torch::nn::Module {
 public:
  /// Standard normal latents, until it is fitted. All of it are buffers.
  explicit GaussianPriorImpl(GaussianPriorOptions options);

  /// Directions, their variances and the rest's variance of `cases` latents `latent(i)` (C, d, h,
  /// w), the variances as held-out cases have them in four folds. Of more than 512 cases as many,
  /// evenly spread, are taken. Throws Error for fewer than 8.
  void fit(int64_t cases, const std::function<at::Tensor(int64_t)>& latent);

  /// The expectation of x_0 given x_t (B, C, d, h, w), all at mixture `now`.
  at::Tensor x0(const at::Tensor& x_t, Mixture now) const;

  /// The covariance of x_0 times each of `x` (B, C, d, h, w).
  at::Tensor covariance_times(const at::Tensor& x) const;

  /// x0() as a prediction of `kind`, each sample at its own t (B) int64.
  at::Tensor prediction(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x_t,
                        const at::Tensor& t) const;

  const GaussianPriorOptions& options() const { return options_; }

 private:
  struct Parts {
    at::Tensor x0, noise;
  };
  // The expectations of both parts of x_t.
  Parts parts(const at::Tensor& x_t, Mixture now) const;

  GaussianPriorOptions options_;
  // (D); directions as long as the deviation along them (K, D); the rest's variances (D).
  at::Tensor mean_, spread_, rest_;
};
TORCH_MODULE(GaussianPrior);

/// One for each set of X-ray views, by its number (core/cxr_view.h): the more is known of a
/// patient, the less is left to a prior.
class ViewPriors {
 public:
  ViewPriors() = default;
  explicit ViewPriors(std::vector<GaussianPrior> priors) : priors_(std::move(priors)) {}

  bool is_empty() const { return priors_.empty(); }
  const std::vector<GaussianPrior>& of_sets() const { return priors_; }
  void to(c10::Device device);

  /// GaussianPrior's prediction, each sample by the prior of its set `sets` (B).
  at::Tensor prediction(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& x_t,
                        const at::Tensor& t, const at::Tensor& sets) const;

 private:
  std::vector<GaussianPrior> priors_;
};

}  // namespace x2ctpa
