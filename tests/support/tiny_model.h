// A whole diffusion model folder of a few thousand random weights, as train-diffusion writes it.
#pragma once

#include <torch/utils.h>

#include <array>
#include <filesystem>
#include <vector>

#include "x2ctpa/core/files.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/volume_form.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa::test {

enum class TinyAutoencoder { vqgan, conv, kl, maisi };

/// Volumes of 16x32x32 voxels from X-rays of 32x32 pixels.
inline void write_tiny_model(const std::filesystem::path& folder,
                             TinyAutoencoder kind = TinyAutoencoder::vqgan) {
  torch::manual_seed(5);
  DatasetInfo info;
  info.grid_dhw = {16, 32, 32};
  info.typical_spacing_mm = {10, 10, 20};
  info.cxr_size = 32;
  info.hash = "tiny";

  LatentScale scale;
  scale.size = kind == TinyAutoencoder::kl ? std::vector<int64_t>{16, 16, 16}
                                           : std::vector<int64_t>{4, 8, 8};
  scale.mean.assign(4, 0.0);
  scale.std.assign(4, 1.0);

  if (kind == TinyAutoencoder::kl) {
    AutoencoderKlOptions options;
    options.block_out_channels = {8, 16};
    options.layers_per_block = 1;
    options.norm_num_groups = 4;
    save_module(folder / "autoencoder", *AutoencoderKl(options), options_to_yaml(options));
  } else if (kind == TinyAutoencoder::conv) {
    ConvAutoencoder3dOptions options;
    options.widths = {8, 16};
    options.latent_channels = 4;
    save_module(folder / "autoencoder", *ConvAutoencoder3d(options), options_to_yaml(options));
  } else if (kind == TinyAutoencoder::maisi) {
    AutoencoderMaisiOptions options;
    options.num_channels = {4, 8, 8};
    options.num_res_blocks = {1, 1, 1};
    options.norm_num_groups = 4;
    save_module(folder / "autoencoder", *AutoencoderMaisi(options), options_to_yaml(options));
    write_file(volume_form_file(folder / "autoencoder"), "axes: [-3, -2, 1]\nlow: 0\n");
  } else {
    Vqgan3dOptions options;
    options.hidden_channels = 8;
    options.embedding_dim = 4;
    options.codes = 32;
    save_module(folder / "autoencoder", *Vqgan3d(options), options_to_yaml(options));
  }

  CtpaDenoiserOptions options;
  options.encoder.width = 4;
  options.encoder.stages = 3;
  options.encoder.feature_channels = 4;
  options.encoder.embedding_dim = 16;
  options.unet.dim = 8;
  options.unet.dim_mults = {1, 2};
  const BackProjectionGeometry beam{info.geometry, info.typical_spacing_at_mm(scale.size)};
  const std::array<int64_t, 3> size{scale.size[0], scale.size[1], scale.size[2]};
  CtpaDenoiser denoiser(options, scale.channels(), size, beam);
  save_module(folder, *denoiser, options_to_yaml(options));
  write_file(folder / "dataset.yaml", options_to_yaml(info));
  write_file(folder / "diffusion.yaml", options_to_yaml(DiffusionProcess()));
  write_file(folder / "latent.yaml", options_to_yaml(scale));
}

}  // namespace x2ctpa::test
