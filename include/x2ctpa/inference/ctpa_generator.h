// Chest X-rays to CTPA volumes with a trained model folder.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/captured.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/gaussian_prior.h"
#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/inference/projection_guidance.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/cxr_novelty.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/view_models.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/models/volume_refiner.h"

namespace x2ctpa {

/// One volume to make.
struct SampleRequest {
  std::string id;                 ///< names the noise stream; a case id or a file's name
  at::Tensor cxr;                 ///< (V, S, S) in [0, 1], bone bright, S = info().cxr_size; a view
                                  ///< of a model of both that is not there: NaN (core/cxr_view.h)
  int64_t sample = 0;             ///< number of the sample of this X-ray
  int64_t label = label_unknown;  ///< for a model with label guidance; see ctpa_denoiser.h
  at::Tensor mean{};              ///< (C, d, h, w), in the place of the model's own mean
};

/// What denoising took: steps count once for each volume of a batch.
struct StepSeconds {
  double plain = 0, guidance = 0;  ///< of all steps without guidance by projection; of it alone
  int64_t steps = 0, guided = 0;   ///< all of them; those that guided
};

class CtpaGenerator {
 public:
  /// Loads `<run>/diffusion/model` or a copy of it. `hash`: hash_of(model) where it is known.
  /// Throws Error naming the file that is missing or does not fit.
  CtpaGenerator(const std::filesystem::path& model, const RuntimeOptions& runtime,
                std::string hash = {});
  CtpaGenerator(const CtpaGenerator&) = delete;
  CtpaGenerator& operator=(const CtpaGenerator&) = delete;

  /// Volumes (N, D, H, W) in HU within the model's window: decode() of latents().
  at::Tensor generate(const std::vector<SampleRequest>& requests, const SamplerOptions& sampler,
                      int64_t seed);

  /// Latents (N, C, d, h, w) as the autoencoder takes them. The noise of a request follows from
  /// `seed`, its id and sample alone; an X-ray that several requests share is encoded once. Under
  /// runtime.deterministic each is computed by itself. Throws Error(interrupted) on a signal, and
  /// Error where `projection` asks for what the model's data cannot give.
  at::Tensor latents(const std::vector<SampleRequest>& requests, const SamplerOptions& sampler,
                     int64_t seed, const ProjectionGuidanceOptions& projection = {});

  /// The regression alone: the latents of the model's own mean, as latents() gives them, without
  /// diffusion. Throws Error for a model without a mean.
  at::Tensor mean_latents(const std::vector<SampleRequest>& requests);
  bool has_mean() const { return !means_.is_empty(); }

  /// The autoencoder alone: volumes (N, D, H, W) in HU encoded and decoded, as decode() gives them
  /// but without a refiner, since no latent was drawn from an X-ray.
  at::Tensor reconstruct(const at::Tensor& hu);

  /// The volumes of such latents of `requests`, clamped to the window, on the CPU.
  at::Tensor decode(const at::Tensor& latents, const std::vector<SampleRequest>& requests);

  /// How unlike the training set X-rays (V, S, S) of a patient are, that which is most; nothing for
  /// a model that does not know.
  std::optional<Novelty> novelty(const at::Tensor& cxr);

  /// What denoising has taken so far.
  const StepSeconds& step_seconds() const { return step_seconds_; }

  const DatasetInfo& info() const { return info_; }
  CxrViews views() const { return denoiser_->options().views; }
  /// The views of the model in `model`, without loading it.
  static CxrViews views_of(const std::filesystem::path& model);
  /// SHA-256 over all weights and options of the model folder that a volume depends on.
  const std::string& model_hash() const { return hash_; }
  /// The same without loading the model. Throws Error naming the file that is missing.
  static std::string hash_of(const std::filesystem::path& model);

 private:
  at::Tensor decode_one(at::Tensor latent);
  at::Tensor to_hu(const at::Tensor& unit) const;
  CxrCondition condition_of(const std::vector<SampleRequest>& requests);
  Novelty novelty_of(CxrView view, const at::Tensor& cxr);
  at::Tensor latents_of_batch(const std::vector<SampleRequest>& requests,
                              const SamplerOptions& sampler, int64_t seed,
                              const ProjectionGuidanceOptions& projection);
  /// The sampler's estimates of x_0, each pulled towards its X-ray. Empty where it is not wanted.
  X0Correction projection_of(const std::vector<SampleRequest>& requests,
                             const CxrCondition& condition,
                             const ProjectionGuidanceOptions& options, int64_t steps);

  RuntimeOptions runtime_;
  c10::Device device_;
  DatasetInfo info_;
  DiffusionProcess process_;
  LatentScale scale_;
  std::string hash_;
  std::array<std::optional<CxrNovelty>, 2> novelty_;  ///< by the number of the CxrView
  CtpaDenoiser denoiser_{nullptr};
  VisionTransformer frozen_encoder_{nullptr};  ///< empty when the encoder is the denoiser's own
  ViewMeans means_;                            ///< empty for a denoiser of whole latents
  ViewPriors priors_;                          ///< empty for a network that has learnt all
  VolumeRefiner refiner_{nullptr};             ///< empty for volumes as decoded
  std::unique_ptr<LatentCodec> autoencoder_;
  Captured prediction_, both_predictions_;  ///< of a step without guidance, and with it
  bool plan_is_logged_ = false;
  StepSeconds step_seconds_;
};

}  // namespace x2ctpa
