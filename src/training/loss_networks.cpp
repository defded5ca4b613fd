#include "training/loss_networks.h"

#include <fmt/format.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

template <class Model>
void freeze(Model& model, c10::Device device) {
  model->to(device);
  model->eval();
  for (auto& parameter : model->parameters()) parameter.set_requires_grad(false);
}

// Whether a loss of this weight has its network; says so when it has not.
bool wanted(const std::string& loss, const fs::path& folder, double weight,
            const std::string& remedy) {
  if (weight > 0 && folder.empty())
    log_info("the {} loss is off: its network was not given. {} (docs/weights.md).", loss, remedy);
  return weight > 0 && !folder.empty();
}

}  // namespace

void require_model(const fs::path& folder, const std::string& what, const std::string& flag,
                   const std::string& remedy) {
  if (fs::exists(model_config_file(folder)) && fs::exists(model_weights_file(folder))) return;
  throw Error(
      fmt::format("expected {} in {}, found no model folder. {} (docs/weights.md), or give {}.",
                  what, folder.string(), remedy, flag),
      fs::exists(folder) ? ExitCode::usage : ExitCode::no_data);
}

Lpips load_lpips(const fs::path& folder, double weight, c10::Device device) {
  const std::string remedy = "Convert LPIPS into <run>/lpips/model, or give --lpips";
  if (!wanted("perceptual", folder, weight, remedy)) return Lpips(nullptr);
  require_model(folder, "LPIPS", "--lpips", "Convert it");
  auto lpips = load_model(folder, [] { return Lpips(); });
  freeze(lpips, device);
  return lpips;
}

DenseNet3d load_latent_classifier(const fs::path& folder, double weight, c10::Device device) {
  const std::string remedy =
      "Train or convert a classifier of latents into <run>/classifier/latents/model, or give "
      "--classifier";
  if (!wanted("classification", folder, weight, remedy)) return DenseNet3d(nullptr);
  require_model(folder, "a PE classifier of latents", "--classifier", "Train or convert it");
  auto classifier = load_model<DenseNet3d>(folder);
  freeze(classifier, device);
  return classifier;
}

}  // namespace x2ctpa
