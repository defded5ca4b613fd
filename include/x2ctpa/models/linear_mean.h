// The mean latent of an X-ray, by ridge regression on the principal components of its pixels, or of
// coarser pixels beside random Fourier features (Rahimi and Recht, NIPS 2007), which stand for a
// Gaussian kernel: what few training cases tell about where things lie. Fitted in closed form
// (Hoerl and Kennard, Technometrics 12, 1970, 55); its strength is the one with the least error
// when each case is left out in turn, which needs no refitting (Allen, Technometrics 16, 1974,
// 125).
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct LinearMeanOptions {
  ViewSet views = ViewSet::frontal;  ///< of the X-rays that it is fitted to
  int64_t side = 48;
  int64_t components = 128;
  int64_t random_features = 0;  ///< 0: the pixels alone
  double pixel_weight = 2;
  double ridge = 0;
  std::vector<int64_t> size;  ///< channels, depth, height and width of the latents

  void describe(OptionList& options);
};

class LinearMeanImpl : public torch::nn::Module {
 public:
  /// All zero; `options.components` are those that were found.
  explicit LinearMeanImpl(LinearMeanOptions options);

  /// X-rays (B, V, S, S) to standardised latents (B, C, d, h, w), by the views of options().views,
  /// which must be there.
  at::Tensor forward(const at::Tensor& cxr) const;

  const LinearMeanOptions& options() const { return options_; }
  /// (C): the standard deviation of what the mean leaves of a case that it was not fitted to.
  at::Tensor rest_std() const { return rest_std_; }

 private:
  friend struct LinearMeanFit;

  // What the mean is linear in, centred (B, F), of centred pixels (B, views * side * side).
  at::Tensor features(const at::Tensor& pixels) const;
  // Draws the random features for these centred pixels of the training cases, float64.
  void draw_features(const at::Tensor& pixels, at::Generator random);

  LinearMeanOptions options_;
  // With random features: the pixels' principal directions (Q, side * side), along which they are
  // taken, frequencies (Q, W), phases (W), the factors of pixels and waves, and the mean of all.
  at::Tensor projection_, frequencies_, phases_, scales_, feature_mean_;
  at::Tensor pixel_mean_, components_, weights_, offset_, rest_std_;
};
TORCH_MODULE(LinearMean);

struct LinearMeanFit {
  LinearMean mean{nullptr};
  /// (N) float64: how much each training case draws the fit to itself, 0 to 1.
  at::Tensor leverage;

  /// Fits N >= 2 cases. `cxr(i)`: (V, S, S) in [0, 1], with the views of `options.views`;
  /// `latent(i)`: (C, d, h, w), standardised; both are called in order, several times.
  /// `options.ridge` 0 chooses it; it is in units of the components' mean variance. `random` draws
  /// the random features. Throws Error for fewer cases.
  static LinearMeanFit of(int64_t cases, LinearMeanOptions options,
                          const std::function<at::Tensor(int64_t)>& cxr,
                          const std::function<at::Tensor(int64_t)>& latent, at::Generator random);

  /// The mean of training case `i` by a fit without it, from its mean by this fit.
  at::Tensor left_out(int64_t i, const at::Tensor& fitted, const at::Tensor& latent) const;
};

/// The key of the LatentCache `<run>/diffusion/means`, which has for each training case the
/// standardised mean of a fit without it: (C, d, h, w), or (view_sets, C, d, h, w) for a model of
/// two views. `mean`: the model folder of the fit.
std::string left_out_means_key(const std::filesystem::path& mean, const std::string& dataset_hash);

}  // namespace x2ctpa
