// Volumes that the denoiser makes for validation cases while it is trained.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

class DiffusionPreview {
 public:
  using Predict = std::function<at::Tensor(const at::Tensor& x_t, const at::Tensor& t,
                                           const CxrCondition& condition)>;

  /// Of the first two of `cases`; the dataset must outlive this.
  DiffusionPreview(const Dataset& dataset, std::vector<Case> cases, Predict predict,
                   DiffusionProcess process, LatentScale scale, std::filesystem::path vae,
                   const RuntimeOptions& runtime);

  /// The X-ray, the true volume, and the one made of `condition(case)` in 20 steps of DDIM from the
  /// case's own noise, without guidance.
  std::vector<Picture> pictures(const std::function<CxrCondition(const Case&)>& condition);

 private:
  at::Tensor volume(const Case& c, const CxrCondition& condition, c10::Device device);

  const Dataset& dataset_;
  std::vector<Case> cases_;
  Predict predict_;
  DiffusionProcess process_;
  LatentScale scale_;
  std::filesystem::path vae_;
  RuntimeOptions runtime_;
  std::unique_ptr<LatentCodec> codec_;  ///< from the first preview on
};

}  // namespace x2ctpa
