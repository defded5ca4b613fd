#include "x2ctpa/training/latents.h"

#include <fmt/format.h>

#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/memory.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/volume_form.h"

namespace x2ctpa {
namespace {

// An autoencoder with a form of its own knows the numbers of one window alone.
void check_same_window(const IntensityWindow& window, const std::filesystem::path& vae) {
  const auto form = load_volume_form(vae);
  if (!form || (form->window_min_hu == window.min_hu && form->window_max_hu == window.max_hu))
    return;
  throw Error(fmt::format(
      "the autoencoder in {} was trained in a window of {}..{} HU; the dataset has {}..{} HU. Make "
      "the dataset again with preprocess --preprocess.window_min_hu={} "
      "--preprocess.window_max_hu={}.",
      vae.string(), form->window_min_hu, form->window_max_hu, window.min_hu, window.max_hu,
      form->window_min_hu, form->window_max_hu));
}

std::string key_of(const Dataset& dataset, const std::filesystem::path& vae) {
  const auto weights = model_weights_file(vae);
  if (!std::filesystem::exists(weights)) {
    throw Error(
        fmt::format("no autoencoder in {}: expected the file {}; run x2ctpa train-vae first, "
                    "or give a model folder with --vae",
                    vae.string(), weights.filename().string()),
        std::filesystem::exists(vae) ? ExitCode::usage : ExitCode::no_data);
  }
  check_same_window(dataset.info().window, vae);
  return sha256_of_file(weights) + volume_form_text(vae) + dataset.info().hash;
}

}  // namespace

Latents::Latents(const Dataset& dataset, const std::filesystem::path& vae,
                 const std::filesystem::path& root)
    : dataset_(dataset), vae_(vae), cache_(root, key_of(dataset, vae)) {}

int64_t Latents::encode_missing(c10::Device device, const RuntimeOptions& runtime,
                                const Shard& shard) {
  std::vector<Case> missing;
  int64_t number = 0;
  for (const Case& c : dataset_.cases()) {
    if (c.ct.empty() || c.split == "test" || !shard.owns(number++)) continue;
    if (!cache_.has(c)) missing.push_back(c);
  }
  if (missing.empty()) return 0;
  const auto vae = load_latent_codec(vae_, device);
  at::NoGradGuard no_grad;
  Progress progress("encoding latents", int64_t(missing.size()));
  for (const Case& c : missing) {
    stop_if_interrupted();
    const auto ct = dataset_.load_ct(c).unsqueeze(0).to(device);
    const MemoryPlan plan = vae->plan_encode(ct.sizes(), memory_budget(runtime, device));
    if (&c == &missing.front()) log_info("encoding: {}", plan.text());
    cache_.put(c, vae->encode(ct, plan).squeeze(0));
    progress.advance();
  }
  return int64_t(missing.size());
}

at::Tensor Latents::batch(const std::vector<Case>& cases) const {
  std::vector<at::Tensor> latents;
  for (const Case& c : cases) latents.push_back(cache_.get(c));
  return at::stack(latents);
}

}  // namespace x2ctpa
