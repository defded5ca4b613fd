#include "x2ctpa/training/loss_options.h"

namespace x2ctpa {

void AutoencoderLossOptions::describe(OptionList& options) {
  options.add("l1_weight", &l1_weight,
              "Weight of the L1 reconstruction loss; losses of latents have their own.",
              {.min = 0});
  options.add("squared_weight", &squared_weight, "Weight of the mean squared error.", {.min = 0});
  options.add("contrast_weight", &contrast_weight,
              "Weight of the L1 and squared losses, by their own weights, of volumes clipped to "
              "contrast_window_hu and rescaled by it: vessels count in a wide window too.",
              {.min = 0});
  options.add("contrast_window_hu", &contrast_window_hu,
              "That window, in the unit of the volumes; what lies beyond the dataset's own window "
              "is cut off.",
              {.count = 2});
  options.add("perceptual_weight", &perceptual_weight,
              "Weight of LPIPS on a random slice of each volume; off without its network.",
              {.min = 0});
  options.add("slice_gan_weight", &slice_gan_weight,
              "Weight of the adversarial loss on a random slice of each volume.", {.min = 0});
  options.add("volume_gan_weight", &volume_gan_weight, "Weight of the adversarial loss on volumes.",
              {.min = 0});
  options.add("feature_weight", &feature_weight, "Weight of matching the discriminators' features.",
              {.min = 0});
  options.add("gan_start_step", &gan_start_step,
              "Step at which both discriminators and their losses begin.", {.min = 0});
  options.add("gan_loss", &gan_loss, "The discriminators' loss.",
              {GanLoss::hinge, GanLoss::vanilla});
  options.add("discriminator_learning_rate", &discriminator_learning_rate,
              "Highest learning rate of the discriminators.", {.min = 0});
  options.add("discriminator_channels", &discriminator_channels,
              "Channels of the discriminators' first stage.", {.min = 1});
  options.add("discriminator_layers", &discriminator_layers,
              "Stages of the discriminators that halve the image.", {.min = 1});
  options.add("collapse_perplexity", &collapse_perplexity,
              "The codebook has collapsed when its perplexity over an epoch is below this share of "
              "its codes: a warning, and "
              "codes that the epoch did not use are drawn anew.",
              {.min = 0, .max = 1});
}

void LatentLossOptions::describe(OptionList& options) {
  options.add("weight", &weight, "Weight of this loss; 0: off.", {.min = 0});
  options.add("start_step", &start_step, "Step at which it begins.", {.min = 0});
}

void PerceptualOptions::describe(OptionList& options) {
  LatentLossOptions::describe(options);
  options.add("cases", &cases, "Cases of each batch that are decoded for it; 0: all.", {.min = 0});
}

void AdversarialOptions::describe(OptionList& options) {
  LatentLossOptions::describe(options);
  options.add("learning_rate", &learning_rate, "Highest learning rate of the discriminator.",
              {.min = 0});
  options.section("discriminator", discriminator);
}

void ClassificationOptions::describe(OptionList& options) {
  LatentLossOptions::describe(options);
  options.add("positive_weight", &positive_weight,
              "Weight of cases with PE; 0: cases without per case with, in the training set.",
              {.min = 0});
  options.add("learning_rate", &learning_rate,
              "Highest learning rate of a classifier that is trained along with the denoiser, on "
              "true latents and on those that it finds, and kept in the model folder. 0: the "
              "classifier is given, and frozen.",
              {.min = 0});
  options.section("model", model);
}

void DenoiserLossOptions::describe(OptionList& options) {
  options.add("kind", &kind, "Loss between prediction and target.");
  options.add("weight", &weight, "Weight of that loss.", {.min = 0});
  options.add("huber_delta", &huber_delta,
              "Difference at which huber turns from quadratic to linear.", {.min = 1e-6});
  options.add("min_snr_gamma", &min_snr_gamma,
              "Weigh timesteps by min-SNR with this gamma (arXiv 2303.09556); 0: all alike.",
              {.min = 0});
  options.section("perceptual", perceptual);
  options.section("adversarial", adversarial);
  options.section("classification", classification);
}

}  // namespace x2ctpa
