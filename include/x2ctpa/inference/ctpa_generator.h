// Chest X-rays to CTPA volumes with a trained model folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {

/// One volume to make.
struct SampleRequest {
  std::string id;           ///< names the noise stream; a case id or a file's name
  at::Tensor cxr;           ///< (1, S, S) in [0, 1], bone bright, S = info().cxr_size
  int64_t sample = 0;       ///< number of the sample of this X-ray
  int64_t label = label_unknown;  ///< for a model with label guidance; see ctpa_denoiser.h
};

class CtpaGenerator {
 public:
  /// Loads `<run>/diffusion/model` or a copy of it. Throws Error naming the file that is missing
  /// or does not fit.
  CtpaGenerator(const std::filesystem::path& model, const RuntimeOptions& runtime);

  /// Volumes (N, D, H, W) in HU within the model's window. The noise of a request follows from
  /// `seed`, its id and sample alone. Under runtime.deterministic each is computed by itself.
  at::Tensor generate(const std::vector<SampleRequest>& requests, const SamplerOptions& sampler, int64_t seed);

  const DatasetInfo& info() const { return info_; }
  /// SHA-256 over the weights of denoiser and autoencoder.
  const std::string& model_hash() const { return hash_; }

 private:
  CxrCondition condition_of(const std::vector<SampleRequest>& requests);
  at::Tensor decode_latent(const at::Tensor& latent);
  at::Tensor generate_batch(const std::vector<SampleRequest>& requests, const SamplerOptions& sampler, int64_t seed);

  RuntimeOptions runtime_;
  c10::Device device_;
  DatasetInfo info_;
  DiffusionProcess process_;
  LatentScale scale_;
  std::string hash_;
  CtpaDenoiser denoiser_{nullptr};
  VisionTransformer frozen_encoder_{nullptr};  ///< empty when the encoder is the denoiser's own
  std::unique_ptr<LatentCodec> autoencoder_;
  bool plan_is_logged_ = false;
};

}  // namespace x2ctpa
