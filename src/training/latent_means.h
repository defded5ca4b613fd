// The linear mean of every case's latent, as the denoiser is trained on it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/linear_mean.h"
#include "x2ctpa/training/latents.h"

namespace x2ctpa {

class LatentMeans {
 public:
  /// Fits the mean on `training`, whose latents must be there, with random features of this seed;
  /// or takes the fit that save() left in `folder`, where it was made of the same.
  LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
              const std::vector<Case>& training, const LinearMeanOptions& options, int64_t seed,
              const std::filesystem::path& folder);

  /// Takes the mean in the model folder `model`.
  LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
              const std::filesystem::path& model);

  /// (C, d, h, w), standardised. A case that the mean was fitted to gets that of a fit without it,
  /// so that the denoiser learns from errors as large as those it will meet.
  at::Tensor of(const Case& c) const;

  /// The same as the autoencoder takes it.
  at::Tensor latent(const Case& c) const { return scale_.restore(of(c).unsqueeze(0))[0]; }

  /// (C), see LinearMean.
  at::Tensor rest_std() const { return mean_->rest_std(); }

  /// The model folder `folder` and the fit, if it was not taken from there.
  void save(const std::filesystem::path& folder) const;

  /// Keeps the means of the cases of the fit in a LatentCache in `folder`, for sampling them as new
  /// patients would be; `model` is where the mean was saved.
  void keep_left_out(const std::filesystem::path& folder, const std::filesystem::path& model) const;

 private:
  at::Tensor standardised(const Case& c) const;

  Dataset dataset_;
  Latents latents_;
  LatentScale scale_;
  LinearMean mean_{nullptr};
  LinearMeanFit fit_;
  std::string fit_key_;  // a hash of all that the fit was made of
  std::filesystem::path taken_from_;
  std::map<std::string, int64_t> fitted_;  // ids of the cases of the fit, by their number
};

}  // namespace x2ctpa
