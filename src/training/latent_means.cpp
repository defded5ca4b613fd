#include "training/latent_means.h"

#include "x2ctpa/core/log.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         const std::vector<Case>& training, const LinearMeanOptions& options)
    : dataset_(dataset), latents_(latents), scale_(scale) {
  fit_ = LinearMeanFit::of(
      int64_t(training.size()), options,
      [&](int64_t i) { return dataset_.load_cxr(training[size_t(i)]); },
      [&](int64_t i) { return standardised(training[size_t(i)]); });
  mean_ = fit_.mean;
  for (size_t i = 0; i < training.size(); ++i) fitted_[training[i].id] = int64_t(i);
  log_info(
      "train-diffusion: the linear mean of {} cases has {} components and a ridge of {:g}; of "
      "a case left out it leaves a deviation of {:.3f} (1: that of the latents)",
      training.size(), mean_->options().components, mean_->options().ridge,
      mean_->rest_std().square().mean().sqrt().item<double>());
}

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         const std::filesystem::path& model)
    : dataset_(dataset), latents_(latents), scale_(scale), mean_(load_model<LinearMean>(model)) {}

at::Tensor LatentMeans::standardised(const Case& c) const {
  return scale_.standardise(latents_.batch({c}))[0];
}

at::Tensor LatentMeans::of(const Case& c) const {
  at::NoGradGuard no_grad;
  const auto fitted = mean_->forward(dataset_.load_cxr(c).unsqueeze(0))[0];
  const auto found = fitted_.find(c.id);
  return found == fitted_.end() ? fitted : fit_.left_out(found->second, fitted, standardised(c));
}

void LatentMeans::save(const std::filesystem::path& model) const {
  save_module(model, *mean_, options_to_yaml(mean_->options()));
}

void LatentMeans::keep_left_out(const std::filesystem::path& folder,
                                const std::filesystem::path& model) const {
  LatentCache cache(folder, left_out_means_key(model, dataset_.info().hash));
  for (const Case& c : dataset_.cases()) {
    if (fitted_.contains(c.id) && !cache.has(c)) cache.put(c, of(c).to(at::kHalf));
  }
}

}  // namespace x2ctpa
