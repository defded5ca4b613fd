#include "training/diffusion_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/volume_form.h"

namespace x2ctpa {
namespace fs = std::filesystem;

std::vector<Case> paired(const std::vector<Case>& cases, CxrViews views) {
  std::vector<Case> out;
  for (const auto& c : cases) {
    if (!c.ct.empty() && c.has_xray(views)) out.push_back(c);
  }
  return out;
}

void check_views(CxrViews views, const std::vector<Case>& training) {
  if (views == CxrViews::frontal) return;
  constexpr int64_t least = 8;
  const auto count = std::count_if(training.begin(), training.end(),
                                   [](const Case& c) { return c.has(ViewSet::both); });
  if (count >= least) return;
  throw Error(fmt::format("diffusion.denoiser.views both needs {} or more training cases with both "
                          "views, found {}. Give the manifest a column cxr_lateral and preprocess "
                          "with --preprocess.views both, or set diffusion.denoiser.views frontal",
                          least, count),
              ExitCode::no_data);
}

void take_over(DiffusionInputs& inputs, DiffusionOptions& options) {
  for (const char* name : {"config.yaml", "model.safetensors", "diffusion.yaml", "latent.yaml"}) {
    if (!fs::exists(inputs.init / name)) {
      throw Error(
          fmt::format("--init {}: expected a whole diffusion model (of train-diffusion, or of "
                      "convert_weights.py generator), "
                      "found no {}",
                      inputs.init.string(), name),
          fs::exists(inputs.init) ? ExitCode::usage : ExitCode::no_data);
    }
  }
  options.denoiser = load_options<CtpaDenoiserOptions>(model_config_file(inputs.init));
  options.process = load_options<DiffusionProcess>(inputs.init / "diffusion.yaml");
  if (options.denoiser.mean == LatentMean::linear)
    options.linear_mean = load_options<LinearMeanOptions>(model_config_file(inputs.init / "mean"));
  if (inputs.autoencoder.empty()) inputs.autoencoder = inputs.init / "autoencoder";
  if (options.denoiser.cxr_encoder != CxrEncoding::frozen) inputs.cxr_encoder.clear();
  if (options.denoiser.cxr_encoder == CxrEncoding::frozen && inputs.cxr_encoder.empty())
    inputs.cxr_encoder = inputs.init / "cxr_encoder";
  log_info("train-diffusion: the denoiser, its process and its latent scale are those of {}",
           inputs.init.string());
}

void complete(DiffusionOptions& options, const DiffusionInputs& inputs, const DatasetInfo& info) {
  auto& denoiser = options.denoiser;
  denoiser.encoder.mean = info.cxr_mean;
  denoiser.encoder.std = info.cxr_std;
  if (denoiser.views == CxrViews::both) {
    denoiser.lateral.mean = info.lateral_mean;
    denoiser.lateral.std = info.lateral_std;
  }
  if (inputs.cxr_encoder.empty()) {
    denoiser.cxr_encoder = CxrEncoding::trained;
    return;
  }
  if (denoiser.cxr_encoder != CxrEncoding::finetuned) denoiser.cxr_encoder = CxrEncoding::frozen;
  const auto& transformer = denoiser.transformer =
      load_options<VisionTransformerOptions>(model_config_file(inputs.cxr_encoder));
  denoiser.encoder.embedding_dim = denoiser.unet.cond_tokens == 0 && transformer.output_dim > 0
                                       ? transformer.output_dim
                                       : transformer.width;
}

void check_same_data(const Dataset& dataset, const fs::path& autoencoder) {
  // A published autoencoder was trained on other data; any grid that its factors divide will do.
  if (!fs::exists(autoencoder / "dataset.yaml")) return;
  const auto trained = load_options<DatasetInfo>(autoencoder / "dataset.yaml");
  const auto& info = dataset.info();
  if (trained.grid_dhw != info.grid_dhw || !(trained.window == info.window)) {
    throw Error(fmt::format(
        "the autoencoder in {} was trained on a grid of {}x{}x{} and a window of {}..{} HU; the "
        "dataset has "
        "{}x{}x{} and {}..{} HU. Train it on this dataset, or preprocess with its grid and window.",
        autoencoder.string(), trained.grid_dhw[0], trained.grid_dhw[1], trained.grid_dhw[2],
        trained.window.min_hu, trained.window.max_hu, info.grid_dhw[0], info.grid_dhw[1],
        info.grid_dhw[2], info.window.min_hu, info.window.max_hu));
  }
}

void check_same_latents(const LatentScale& scale, const at::Tensor& latent,
                        const DiffusionInputs& inputs) {
  const std::vector<int64_t> expected{scale.channels(), scale.size[0], scale.size[1],
                                      scale.size[2]};
  if (latent.sizes() == at::IntArrayRef(expected)) return;
  throw Error(fmt::format(
      "the model {} was trained on latents of {} channels and {}x{}x{}; those of the autoencoder "
      "{} on this "
      "dataset have {} and {}x{}x{}. Take its own autoencoder and grid, or train without --init.",
      inputs.init.string(), expected[0], expected[1], expected[2], expected[3],
      inputs.autoencoder.string(), latent.size(0), latent.size(1), latent.size(2), latent.size(3)));
}

std::string settings_of(const DiffusionOptions& options, const Dataset& dataset,
                        const DiffusionInputs& inputs, int64_t seed) {
  std::string text = options_to_yaml(options) + "dataset: " + dataset.info().hash + "\n";
  const auto add = [&](const std::string& name, const fs::path& model) {
    if (!model.empty()) text += name + ": " + sha256_of_file(model_weights_file(model)) + "\n";
  };
  add("autoencoder", inputs.autoencoder);
  text += volume_form_text(inputs.autoencoder);
  add("cxr_encoder", inputs.cxr_encoder);
  add("init", inputs.init);
  if (options.losses.perceptual.weight > 0) add("lpips", inputs.lpips);
  if (options.losses.classification.weight > 0 && !options.losses.classification.trained())
    add("classifier", inputs.classifier);
  return text + "seed: " + std::to_string(seed) + "\n";
}

void copy_model(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& file :
       {model_config_file(from), model_weights_file(from), volume_form_file(from)}) {
    if (file == volume_form_file(from) && !fs::exists(file)) continue;
    fs::copy_file(file, to / file.filename(), fs::copy_options::overwrite_existing);
  }
}

}  // namespace x2ctpa
