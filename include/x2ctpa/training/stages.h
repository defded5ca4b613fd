// The three things that are trained: the latent autoencoder, the denoiser, the PE classifier.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/gaussian_prior.h"
#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/linear_mean.h"
#include "x2ctpa/models/lora.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/classifier_stage.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/loss_options.h"
#include "x2ctpa/training/refiner_options.h"

namespace x2ctpa {

struct VaeOptions {
  AutoencoderKind kind = AutoencoderKind::vqgan;
  Vqgan3dOptions model;           ///< of kind vqgan
  ConvAutoencoder3dOptions conv;  ///< of kind conv
  TrainOptions train;
  AutoencoderLossOptions loss;
  std::vector<int64_t> augment_shift_voxels{0, 0, 0};

  VaeOptions();
  void describe(OptionList& options);
};

/// standard: each latent channel to mean 0 and deviation 1 over the training set; range: smallest
/// and largest value to -1 and 1.
enum class LatentScaling { standard, range };
constexpr auto words(LatentScaling) { return std::array{"standard", "range"}; }

struct DiffusionOptions {
  CtpaDenoiserOptions denoiser;
  LinearMeanOptions linear_mean;  ///< with denoiser.mean linear
  GaussianPriorOptions prior;
  RefinerOptions refiner;
  DiffusionProcess process;
  TrainOptions train;
  DenoiserLossOptions losses;
  LoraOptions lora;
  double condition_dropout = 0.1;
  double label_dropout = 0.5;
  double view_dropout = 0.5;
  LatentScaling latent_scale = LatentScaling::standard;

  DiffusionOptions();
  void describe(OptionList& options);
};

/// Throws Error unless train_vae() trains an autoencoder of options.kind, and says what to do.
void check_trainable(const VaeOptions& options);

/// Trains the autoencoder, of a kind that check_trainable() passes, on the training volumes of
/// `dataset` and writes `folder`/model, `folder`/metrics.jsonl and `folder`/reconstruction.csv
/// (PSNR of every test case, data range the window). `lpips`: the model folder of the perceptual
/// loss's network; empty: that loss is off.
void train_vae(const Dataset& dataset, const std::filesystem::path& lpips,
               const VaeOptions& options, const RuntimeOptions& runtime,
               const std::filesystem::path& folder, const TrainCall& call);

/// The model folders that training the denoiser starts from; empty: not given.
struct DiffusionInputs {
  std::filesystem::path autoencoder;  ///< of train-vae, or a converted AutoencoderKL
  std::filesystem::path
      cxr_encoder;  ///< a vision transformer; empty: the small encoder, trained with the denoiser
  std::filesystem::path init;        ///< a whole diffusion model to go on from
  std::filesystem::path lpips;       ///< for the perceptual loss
  std::filesystem::path classifier;  ///< of latents, for the classification loss
};

/// Trains the denoiser on latents of the autoencoder and writes `folder`/model: everything that
/// sampling needs, the autoencoder included. The vision transformer is frozen unless
/// options.denoiser.cxr_encoder is finetuned. With `init` the denoiser, its process and the scale
/// of its latents are that model's, and options.denoiser and options.process are not read; so are
/// the autoencoder and the encoder where they are not given.
void train_diffusion(const Dataset& dataset, DiffusionInputs inputs,
                     const DiffusionOptions& options, const RuntimeOptions& runtime,
                     const std::filesystem::path& folder, const TrainCall& call);

}  // namespace x2ctpa
