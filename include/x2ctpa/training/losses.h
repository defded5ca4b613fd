// Every loss that anything here is trained with: the autoencoders' (the VQ-GAN's: TATS, arXiv
// 2204.03638, and medicaldiffusion), the denoiser's (X-ray2CTPA, arXiv 2406.16109) and the PE
// classifier's. A task only adds them up. None knows a step, a file or an option; those that
// networks compute are in float32, whatever the precision around them.
//
// Volumes x and their reconstructions x_hat are (B, 1, D, H, W) in [-1, 1]; latents z and those
// that a prediction stands for, z_hat, (B, C, d, h, w). `place` (B) in [0, 1), on the CPU, tells
// the slice of each volume, as slices_at().
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/codebook.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/discriminators.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/latent_posterior.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/training/loss_options.h"

namespace x2ctpa {

/// One term of a loss.
struct LossTerm {
  std::string name;
  double weight = 1;
  at::Tensor value;  ///< scalar, not weighted
};

/// The sum of weight times value. At least one term.
at::Tensor weighted_sum(const std::vector<LossTerm>& terms);

// The autoencoders.

/// The mean of |x_hat - x|.
at::Tensor reconstruction_loss(const at::Tensor& x_hat, const at::Tensor& x);

/// The mean of (x_hat - x)^2.
at::Tensor squared_loss(const at::Tensor& x_hat, const at::Tensor& x);

/// KL divergence of the posterior from the standard normal (arXiv 1312.6114), mean over the
/// elements: (mean^2 + exp(logvar) - 1 - logvar) / 2.
at::Tensor kl_loss(const LatentPosterior& posterior);

/// weight x mean squared distance of the latents to their codes (arXiv 1711.00937); the codes get
/// no gradient.
at::Tensor commitment_loss(const Quantised& codes, double weight);

/// LPIPS between one slice of each volume and of its reconstruction, mean over B.
at::Tensor slice_distance(Lpips& lpips, const at::Tensor& x, const at::Tensor& x_hat,
                          const at::Tensor& place);

/// The discriminator's loss on logits of real and of made images, half of each part.
at::Tensor discriminator_loss(GanLoss kind, const at::Tensor& real, const at::Tensor& fake);

/// The generator's: -mean(fake), or mean((fake - 1)^2) with least-squares.
at::Tensor generator_loss(GanLoss kind, const at::Tensor& fake);

/// Feature matching (arXiv 1711.11585): the L1 distances between the features of each stage but
/// the last, times 4 / (number of stages - 1), as published. Gradients go to `fake` only.
at::Tensor feature_matching_loss(const PatchLogits& fake, const PatchLogits& real);

/// What two discriminators make of a reconstruction: scalars.
struct AdversarialLosses {
  at::Tensor slices;    ///< the generator's loss on slices
  at::Tensor volumes;   ///< and on volumes
  at::Tensor features;  ///< feature matching, summed over both
};
AdversarialLosses adversarial_losses(DiscriminatorPair& discriminators, GanLoss kind,
                                     const at::Tensor& x, const at::Tensor& x_hat,
                                     const at::Tensor& place);

/// The discriminators' own losses, on slices and on volumes. No gradient goes to x_hat.
std::vector<LossTerm> discriminator_losses(DiscriminatorPair& discriminators, GanLoss kind,
                                           const at::Tensor& x, const at::Tensor& x_hat,
                                           const at::Tensor& place);

// The denoiser.

/// (B): the mean of the loss over a sample.
at::Tensor prediction_loss(PredictionLoss loss, const at::Tensor& prediction,
                           const at::Tensor& target, double huber_delta = 1);

/// (B) float32: the weights of min-SNR-gamma (arXiv 2303.09556), with SNR = signal_t^2 / noise_t^2.
/// min(SNR, gamma) weighs the squared error of x_0; a prediction's own error is smaller or larger
/// by (d x_0 / d prediction)^2: 1 for x0, noise^2 / signal^2 for noise, noise^2 for v, and
/// noise^2 / (signal + noise)^2 for flow.
at::Tensor min_snr_weights(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& t,
                           double gamma);

/// (B): LPIPS between one slice each of what z_hat and z decode to, with its gradient through the
/// decoder. Latents as the autoencoder gives them.
at::Tensor perceptual_losses(Lpips& lpips, LatentCodec& autoencoder, const at::Tensor& z_hat,
                             const at::Tensor& z, const at::Tensor& place);

/// (B): mean((D(z_hat) - 1)^2) over the patches (arXiv 1611.04076).
at::Tensor latent_adversarial_losses(LatentDiscriminator& discriminator, const at::Tensor& z_hat);

/// (B): half of mean((D(z) - 1)^2) + mean(D(z_hat)^2). No gradient goes to z_hat.
at::Tensor latent_discriminator_losses(LatentDiscriminator& discriminator, const at::Tensor& z_hat,
                                       const at::Tensor& z);

/// (B): binary cross-entropy of a classifier's logit with the label 0 or 1, positive ones times
/// `positive_weight`; 0 where the label is another (unknown). Latents as the classifier knows them.
at::Tensor classification_losses(DenseNet3d& classifier, const at::Tensor& z_hat,
                                 const at::Tensor& labels, double positive_weight);

// The PE classifier.

/// Binary cross-entropy of logits (B) with labels (B), 0 or 1, positive ones times
/// `positive_weight` (1); mean over B.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& positive_weight);

/// loss(z_hat) for a total whose gradient goes through z_hat. Its gradient there is taken at once:
/// what it took, both ways, is known, and its memory is free before the next.
struct TimedLoss {
  at::Tensor value;
  double seconds = 0;
};
TimedLoss timed_loss(const at::Tensor& z_hat,
                     const std::function<at::Tensor(const at::Tensor&)>& loss);

}  // namespace x2ctpa
