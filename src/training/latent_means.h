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
#include "x2ctpa/models/view_models.h"
#include "x2ctpa/training/latents.h"

namespace x2ctpa {

class LatentMeans {
 public:
  /// Fits a mean for each set of `views` on those of `training` that have it, whose latents must be
  /// there, with random features of this seed; or takes the fits that save() left in `folder`,
  /// where they were made of the same.
  LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
              CxrViews views, const std::vector<Case>& training, const LinearMeanOptions& options,
              int64_t seed, const std::filesystem::path& folder);

  /// Takes the means in the model folder `model`.
  LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
              CxrViews views, const std::filesystem::path& model);

  /// (C, d, h, w), standardised; for two views (view_sets, C, d, h, w), zero for sets that the case
  /// has not. A case that a mean was fitted to gets that of a fit without it, so that the denoiser
  /// learns from errors as large as those it will meet.
  at::Tensor of(const Case& c) const;
  /// That of one set, which the case must have: (C, d, h, w).
  at::Tensor of(const Case& c, int64_t set) const;

  /// Of X-rays of the sets `sets` (B), see ViewMeans.
  at::Tensor rest_std(const at::Tensor& sets) const { return means_.rest_std(sets); }

  const LatentScale& scale() const { return scale_; }
  CxrViews views() const { return views_; }
  const std::vector<LinearMean>& of_sets() const { return means_.of_sets(); }

  /// The model folder `folder` and the fits, if they were not taken from there.
  void save(const std::filesystem::path& folder) const;

  /// Keeps the means of the cases of the fits in a LatentCache in `folder`, for sampling them as
  /// new patients would be; `model` is where the means were saved.
  void keep_left_out(const std::filesystem::path& folder, const std::filesystem::path& model) const;

 private:
  /// The fit of one set.
  struct Fit {
    LinearMeanFit fit;
    std::string key;                         // a hash of all that it was made of
    std::map<std::string, int64_t> numbers;  // of its cases, by their ids
    bool is_stored = false;
  };

  Fit fit_of(int64_t set, const std::vector<Case>& training, LinearMeanOptions options,
             int64_t seed, const std::filesystem::path& folder) const;
  at::Tensor standardised(const Case& c) const;

  Dataset dataset_;
  Latents latents_;
  LatentScale scale_;
  CxrViews views_;
  ViewMeans means_;
  std::vector<Fit> fits_;  // of each set; empty for means that were taken
};

}  // namespace x2ctpa
