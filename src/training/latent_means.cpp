#include "training/latent_means.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// In a model of one view there is nothing to name.
std::string set_text(CxrViews views, int64_t set) {
  if (views == CxrViews::frontal) return "the linear mean";
  return fmt::format(
      "the linear mean of X-rays {}",
      set == int64_t(ViewSet::both) ? "of both views" : fmt::format("that are {}", ViewSet(set)));
}

}  // namespace

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         CxrViews views, const std::vector<Case>& training,
                         const LinearMeanOptions& options, int64_t seed, const fs::path& folder)
    : dataset_(dataset), latents_(latents), scale_(scale), views_(views) {
  std::vector<LinearMean> means;
  for (int64_t set = 0; set < view_set_count(views); ++set) {
    std::vector<Case> having;
    for (const auto& c : training)
      if (c.has(ViewSet(set))) having.push_back(c);
    fits_.push_back(fit_of(set, having, options, seed, folder));
    means.push_back(fits_.back().fit.mean);
  }
  means_ = ViewMeans(std::move(means));
}

LatentMeans::LatentMeans(const Dataset& dataset, const Latents& latents, const LatentScale& scale,
                         CxrViews views, const fs::path& model)
    : dataset_(dataset),
      latents_(latents),
      scale_(scale),
      views_(views),
      means_(load_view_sets<LinearMean>(model, views)) {}

LatentMeans::Fit LatentMeans::fit_of(int64_t set, const std::vector<Case>& training,
                                     LinearMeanOptions options, int64_t seed,
                                     const fs::path& folder) const {
  options.views = ViewSet(set);
  Fit made;
  made.key = key_of_fit(latents_, scale_, training, options, seed);
  for (size_t i = 0; i < training.size(); ++i) made.numbers[training[i].id] = int64_t(i);
  const fs::path own = view_set_folder(folder, ViewSet(set));
  if (auto stored = stored_fit(own, made.key)) {
    made.fit = *stored;
    made.is_stored = true;
    log_info("train-diffusion: {} is the one in {}", set_text(views_, set), own.string());
    return made;
  }
  const std::string stream = set == 0 ? "" : fmt::format("/{}", ViewSet(set));
  made.fit = LinearMeanFit::of(
      int64_t(training.size()), options,
      [&](int64_t i) { return dataset_.load_views(training[size_t(i)], views_); },
      [&](int64_t i) { return standardised(training[size_t(i)]); },
      random_stream(seed, "diffusion/linear_mean" + stream));
  const auto& mean = made.fit.mean;
  log_info(
      "train-diffusion: {} of {} cases has {} components and a ridge of {:g}; of "
      "a case left out it leaves a deviation of {:.3f} (1: that of the latents)",
      set_text(views_, set), training.size(), mean->options().components, mean->options().ridge,
      mean->rest_std().square().mean().sqrt().item<double>());
  return made;
}

at::Tensor LatentMeans::standardised(const Case& c) const {
  return scale_.standardise(latents_.batch({c}))[0];
}

at::Tensor LatentMeans::of(const Case& c, int64_t set) const {
  at::NoGradGuard no_grad;
  const auto cxr = dataset_.load_views(c, views_).unsqueeze(0);
  const auto fitted = of_sets()[size_t(set)]->forward(cxr)[0];
  if (fits_.empty()) return fitted;
  const Fit& fit = fits_[size_t(set)];
  const auto found = fit.numbers.find(c.id);
  return found == fit.numbers.end() ? fitted
                                    : fit.fit.left_out(found->second, fitted, standardised(c));
}

at::Tensor LatentMeans::of(const Case& c) const {
  if (views_ == CxrViews::frontal) return of(c, 0);
  const auto& s = of_sets()[0]->options().size;
  std::vector<at::Tensor> each;
  for (int64_t set = 0; set < view_sets; ++set)
    each.push_back(c.has(ViewSet(set)) ? of(c, set) : at::zeros({s[0], s[1], s[2], s[3]}));
  return at::stack(each);
}

void LatentMeans::save(const fs::path& folder) const {
  for (size_t set = 0; set < of_sets().size(); ++set) {
    if (!fits_.empty() && fits_[set].is_stored) continue;
    const fs::path own = view_set_folder(folder, ViewSet(set));
    const auto& mean = of_sets()[set];
    save_module(own, *mean, options_to_yaml(mean->options()));
    if (fits_.empty()) continue;
    write_safetensors(own / fit_file, {{"leverage", fits_[set].fit.leverage}},
                      {{"key", fits_[set].key}, {"mean", sha256_of_file(model_weights_file(own))}});
  }
}

void LatentMeans::keep_left_out(const fs::path& folder, const fs::path& model) const {
  LatentCache cache(folder, left_out_means_key(model, dataset_.info().hash));
  for (const Case& c : dataset_.cases()) {
    const bool fitted = std::any_of(fits_.begin(), fits_.end(),
                                    [&](const Fit& fit) { return fit.numbers.contains(c.id); });
    if (fitted && !cache.has(c)) cache.put(c, of(c).to(at::kHalf));
  }
}

}  // namespace x2ctpa
