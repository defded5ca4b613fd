#include "x2ctpa/training/stages.h"

#include <fmt/format.h>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

VaeOptions::VaeOptions() {
  train.betas = {0.5, 0.9};
  train.weight_decay = 0;
  // The codebook follows its own averages: averaged encoder weights would not fit it.
  train.ema_decay = 0;
}

void VaeOptions::describe(OptionList& options) {
  options.add("kind", &kind,
              "vqgan: the 3D VQ-GAN, which train-vae trains; kl: Stable Diffusion's, used as it "
              "was published, converted into <run>/vae/model or given as --vae. train-vae refuses "
              "it.");
  options.section("model", model);
  options.section("train", train);
  options.section("loss", loss);
}

void check_trainable(const VaeOptions& options) {
  if (options.kind == AutoencoderKind::vqgan) return;
  throw Error(fmt::format(
      "train-vae: expected vae.kind vqgan, found {}: Stable Diffusion's autoencoder is used as it "
      "was published. Convert it with scripts/convert_weights.py into <run>/vae/model and go on "
      "with train-diffusion; or train the other one with --vae.kind vqgan.",
      options.kind));
}

DiffusionOptions::DiffusionOptions() {
  train.batch_size = 10;
  train.learning_rate = 1e-4;
}

void DiffusionOptions::describe(OptionList& options) {
  options.section("denoiser", denoiser);
  options.section("process", process);
  options.section("train", train);
  options.section("loss", losses);
  options.section("lora", lora);
  options.add("condition_dropout", &condition_dropout,
              "Share of cases trained without their X-ray, for guidance.", {.min = 0, .max = 1});
  options.add("label_dropout", &label_dropout,
              "With label guidance: share of cases trained with an unknown label.",
              {.min = 0, .max = 1});
  options.add("latent_scale", &latent_scale,
              "standard: each latent channel to mean 0 and deviation 1 over the training set; "
              "range: smallest and largest "
              "value to -1 and 1, as published.");
}

}  // namespace x2ctpa
