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
              "What train-vae trains. vqgan: the 3D VQ-GAN of section model; conv: the "
              "convolutional autoencoder of section conv; kl: Stable Diffusion's, and maisi: "
              "MAISI's, used as they were published, converted into <run>/vae/model or given as "
              "--vae, and refused by train-vae.");
  options.section("model", model);
  options.section("conv", conv);
  options.section("train", train);
  options.section("loss", loss);
  options.add("augment_shift_voxels", &augment_shift_voxels,
              "Voxels along D, H, W by which each training volume is shifted at most, drawn anew "
              "each time; the outermost voxels are repeated. 0, 0, 0: not at all.",
              {.min = 0, .count = 3});
}

void check_trainable(const VaeOptions& options) {
  if (options.kind == AutoencoderKind::vqgan || options.kind == AutoencoderKind::conv) return;
  throw Error(fmt::format(
      "train-vae: expected vae.kind vqgan or conv, found {}: {} autoencoder is used as it was "
      "published. Convert it with scripts/convert_weights.py into <run>/vae/model and go on "
      "with train-diffusion; or train another one with --vae.kind conv or vqgan.",
      options.kind, options.kind == AutoencoderKind::kl ? "Stable Diffusion's" : "MAISI's"));
}

DiffusionOptions::DiffusionOptions() {
  train.batch_size = 10;
  train.learning_rate = 1e-4;
}

void DiffusionOptions::describe(OptionList& options) {
  options.section("denoiser", denoiser);
  options.section("linear_mean", linear_mean);
  options.section("prior", prior);
  options.section("refiner", refiner);
  options.section("process", process);
  options.section("train", train);
  options.section("loss", losses);
  options.section("lora", lora);
  options.add("condition_dropout", &condition_dropout,
              "Share of cases trained without their X-ray, for guidance.", {.min = 0, .max = 1});
  options.add("label_dropout", &label_dropout,
              "With label guidance: share of cases trained with an unknown label.",
              {.min = 0, .max = 1});
  options.add(
      "view_dropout", &view_dropout,
      "With denoiser.views both: share of cases trained with one of their views hidden, the "
      "frontal as often as the lateral one.",
      {.min = 0, .max = 1, .unwritten_at = "0.5"});
  options.add("latent_scale", &latent_scale,
              "standard: each latent channel to mean 0 and deviation 1 over the training set; "
              "range: smallest and largest "
              "value to -1 and 1, as published.");
}

}  // namespace x2ctpa
