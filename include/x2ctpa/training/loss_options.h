// Which losses the two trainers of the paper add up, and how.
#pragma once

#include <array>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/discriminators.h"

namespace x2ctpa {

/// The discriminators' loss, by its terms of real and of made images. hinge: mean(relu(1 - real))
/// and mean(relu(1 + fake)); vanilla: mean(softplus(-real)) and mean(softplus(fake));
/// least-squares (arXiv 1611.04076): mean((real - 1)^2) and mean(fake^2).
enum class GanLoss { hinge, vanilla, least_squares };
constexpr auto words(GanLoss) { return std::array{"hinge", "vanilla", "least-squares"}; }

/// The denoiser's loss between prediction and target: |d|, d^2, or Huber's: d^2 / 2 up to
/// |d| = delta, then delta (|d| - delta / 2), with d = prediction - target.
enum class PredictionLoss { l1, mse, huber };
constexpr auto words(PredictionLoss) { return std::array{"l1", "mse", "huber"}; }

/// An autoencoder's losses between volume and reconstruction; those of its latents have their
/// weights in its own options (commitment_weight, kl_weight).
struct AutoencoderLossOptions {
  double l1_weight = 4;
  double squared_weight = 0;
  double contrast_weight = 0;
  std::vector<double> contrast_window_hu{-200, 500};
  double perceptual_weight = 4;
  double slice_gan_weight = 1;
  double volume_gan_weight = 1;
  double feature_weight = 4;
  int64_t gan_start_step = 10000;
  GanLoss gan_loss = GanLoss::hinge;
  double discriminator_learning_rate = 3e-4;
  int64_t discriminator_channels = 64;
  int64_t discriminator_layers = 3;
  double collapse_perplexity = 0.01;

  /// Whether discriminators are trained at all.
  bool gan() const { return slice_gan_weight > 0 || volume_gan_weight > 0; }
  void describe(OptionList& options);
};

/// A loss on the clean latent that a prediction stands for.
struct LatentLossOptions {
  double weight = 0;
  int64_t start_step = 0;

  bool acts(int64_t step) const { return weight > 0 && step >= start_step; }
  void describe(OptionList& options);
};

struct PerceptualOptions : LatentLossOptions {
  int64_t cases = 0;

  void describe(OptionList& options);
};

struct AdversarialOptions : LatentLossOptions {
  double learning_rate = 1e-4;
  LatentDiscriminatorOptions discriminator;  ///< channels follow from the latent

  void describe(OptionList& options);
};

struct ClassificationOptions : LatentLossOptions {
  double positive_weight = 0;
  double learning_rate = 0;  ///< 0: the classifier is given, and frozen
  DenseNet3dOptions model;   ///< of one that is trained

  /// Whether a classifier is trained along with the denoiser.
  bool trained() const { return weight > 0 && learning_rate > 0; }

  void describe(OptionList& options);
};

/// The denoiser's losses.
struct DenoiserLossOptions {
  PredictionLoss kind = PredictionLoss::mse;
  double weight = 1;
  double huber_delta = 1;
  double min_snr_gamma = 0;
  PerceptualOptions perceptual;
  AdversarialOptions adversarial;
  ClassificationOptions classification;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
