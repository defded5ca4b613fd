// The networks of an experiment file, and how many parameters each has.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <string>

#include "commands/info/describe_path.h"
#include "x2ctpa/commands/experiment.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {
namespace {

using nlohmann::ordered_json;

ordered_json counted(const std::string& what, const torch::nn::Module& module) {
  int64_t parameters = 0, buffers = 0;
  for (const auto& tensor : module.parameters()) parameters += tensor.numel();
  for (const auto& tensor : module.buffers()) buffers += tensor.numel();
  return {{"network", what}, {"parameters", parameters}, {"buffers", buffers}};
}

struct LatentShape {
  int64_t channels;
  std::array<int64_t, 3> dhw;
};

// Builds the autoencoder, adds it to `models` and says what its latents are.
LatentShape add_autoencoder(const Experiment& e, ordered_json& models) {
  const auto& grid = e.preprocess.grid;
  if (e.vae.kind == AutoencoderKind::kl) {
    const AutoencoderKl model;
    models["autoencoder"] = counted("AutoencoderKL of Stable Diffusion, frozen", *model);
    const int64_t f = model->size_factor();
    return {model->options().latent_channels, {grid[0], grid[1] / f, grid[2] / f}};
  }
  if (e.vae.kind == AutoencoderKind::maisi) {
    const AutoencoderMaisi model;
    models["autoencoder"] = counted("AutoencoderKlMaisi of MAISI, frozen", *model);
    const int64_t f = model->size_factor();
    return {model->options().latent_channels, {grid[0] / f, grid[1] / f, grid[2] / f}};
  }
  if (e.vae.kind == AutoencoderKind::conv) {
    const ConvAutoencoder3d model(e.vae.conv);
    models["autoencoder"] = counted("3D convolutional autoencoder", *model);
    const auto size = model->latent_size(grid);
    return {e.vae.conv.latent_channels, {size[0], size[1], size[2]}};
  }
  const Vqgan3d model(e.vae.model);
  models["autoencoder"] = counted("3D VQ-GAN; buffers: the codebook", *model);
  const auto size = model->latent_size(grid);
  return {e.vae.model.embedding_dim, {size[0], size[1], size[2]}};
}

void add_denoiser(const Experiment& e, const LatentShape& latent, ordered_json& models) {
  const CtpaDenoiser model(
      e.diffusion.denoiser, latent.channels, latent.dhw,
      ViewBeams(e.diffusion.denoiser.views, {}, usual_lateral_source_to_centre_mm, {1, 1, 1}));
  for (const auto& part : model->named_children()) {
    const bool unet = part.key() == "unet";
    const bool lateral = part.key() == "encoder_lateral";
    ordered_json& entry = models[unet ? "unet3d" : lateral ? "cxr_encoder_lateral" : "cxr_encoder"];
    entry = counted(unet ? fmt::format("Unet3D, condition of {}", model->options().unet.cond_dim)
                    : lateral ? "CXR encoder of the lateral view, trained with the denoiser"
                              : "CXR encoder, trained with the denoiser",
                    *part.value());
    if (!unet) continue;
    // The rotary frequencies, a buffer here, are a parameter of the published module.
    entry["parameters"] = entry["parameters"].get<int64_t>() + entry["buffers"].get<int64_t>();
    entry["buffers"] = 0;
  }
  if (model->options().cxr_encoder != CxrEncoding::frozen) return;
  models["biomedclip"] = counted("BiomedCLIP ViT-B/16 with projection, frozen: one of these two",
                                 *VisionTransformer());
  models["clip"] =
      counted("CLIP ViT-L/14, frozen: one of these two", *VisionTransformer(clip_vit_large()));
}

}  // namespace

ordered_json describe_experiment(const std::filesystem::path& file) {
  Experiment e;
  OptionList options;
  e.describe(options);
  options.load_yaml(file);
  ordered_json models;
  const LatentShape latent = add_autoencoder(e, models);
  add_denoiser(e, latent, models);
  DenseNet3dOptions classifier = e.classifier.model;
  classifier.channels = latent.channels;
  models["classifier"] = counted("3D DenseNet on latents", *DenseNet3d(classifier));
  return {{"kind", "experiment"},
          {"grid_dhw", e.preprocess.grid},
          {"latent_cdhw", {latent.channels, latent.dhw[0], latent.dhw[1], latent.dhw[2]}},
          {"models", models}};
}

}  // namespace x2ctpa
