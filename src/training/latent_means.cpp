#include "training/latent_means.h"

#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Beside the mean: what only its training needs.
constexpr const char* fit_file = "fit.safetensors";

std::string key_of_fit(const Latents& latents, const LatentScale& scale,
                       const std::vector<Case>& training, const LinearMeanOptions& options,
                       int64_t seed) {
  // The name of the latents' folder stands for the autoencoder and the dataset.
  std::string text = latents.folder().filename().string() + "\n" + options_to_yaml(scale) +
                     options_to_yaml(options) + std::to_string(seed) + "\n";
  for (const auto& c : training) text += c.id + "\n";
  return sha256(text);
}

// The fit in `folder`, if it has this key and is whole.
std::optional<LinearMeanFit> stored_fit(const fs::path& folder, const std::string& key) {
  if (!fs::exists(folder / fit_file)) return std::nullopt;
  try {
    const auto metadata = read_safetensors_metadata(folder / fit_file);
    if (metadata.at("key") != key ||
        metadata.at("mean") != sha256_of_file(model_weights_file(folder)))
      return std::nullopt;
    const auto tensors = read_safetensors(folder / fit_file);
    return LinearMeanFit{load_model<LinearMean>(folder), tensors.at("leverage").clone()};
  } catch (const std::exception& e) {
    log_warning("the linear mean in {} is damaged ({}) and is fitted anew", folder.string(),
                e.what());
    return std::nullopt;
  }
}

}  // namespace

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         const std::vector<Case>& training, const LinearMeanOptions& options,
                         int64_t seed, const fs::path& folder)
    : dataset_(dataset),
      latents_(latents),
      scale_(scale),
      fit_key_(key_of_fit(latents, scale, training, options, seed)) {
  for (size_t i = 0; i < training.size(); ++i) fitted_[training[i].id] = int64_t(i);
  if (auto stored = stored_fit(folder, fit_key_)) {
    fit_ = *stored;
    mean_ = fit_.mean;
    taken_from_ = folder;
    log_info("train-diffusion: the linear mean is the one in {}", folder.string());
    return;
  }
  fit_ = LinearMeanFit::of(
      int64_t(training.size()), options,
      [&](int64_t i) { return dataset_.load_cxr(training[size_t(i)]); },
      [&](int64_t i) { return standardised(training[size_t(i)]); },
      random_stream(seed, "diffusion/linear_mean"));
  mean_ = fit_.mean;
  log_info(
      "train-diffusion: the linear mean of {} cases has {} components and a ridge of {:g}; of "
      "a case left out it leaves a deviation of {:.3f} (1: that of the latents)",
      training.size(), mean_->options().components, mean_->options().ridge,
      mean_->rest_std().square().mean().sqrt().item<double>());
}

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         const fs::path& model)
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

void LatentMeans::save(const fs::path& folder) const {
  if (folder == taken_from_) return;
  save_module(folder, *mean_, options_to_yaml(mean_->options()));
  if (fitted_.empty()) return;
  write_safetensors(folder / fit_file, {{"leverage", fit_.leverage}},
                    {{"key", fit_key_}, {"mean", sha256_of_file(model_weights_file(folder))}});
}

void LatentMeans::keep_left_out(const fs::path& folder, const fs::path& model) const {
  LatentCache cache(folder, left_out_means_key(model, dataset_.info().hash));
  for (const Case& c : dataset_.cases()) {
    if (fitted_.contains(c.id) && !cache.has(c)) cache.put(c, of(c).to(at::kHalf));
  }
}

}  // namespace x2ctpa
