#include "training/denoiser_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/files.h"
#include "x2ctpa/models/cxr_novelty.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/models/view_models.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

// What tells sampling that an X-ray is unlike the training set. `found`: (1, E) or (1, tokens, E)
// of one case, as sampling will find it.
void write_novelty(const Dataset& dataset, const std::vector<Case>& training, CxrViews views,
                   const std::function<at::Tensor(const Case&, CxrView)>& found,
                   const fs::path& model) {
  at::NoGradGuard no_grad;
  for (int64_t v = 0; v < view_count(views); ++v) {
    std::vector<at::Tensor> thumbnails, embeddings;
    for (const auto& c : training) {
      if (v == 0 ? c.cxr.empty() : c.cxr_lateral.empty()) continue;
      const auto picture = dataset.load_views(c, views).narrow(0, v, 1);
      thumbnails.push_back(CxrNovelty::thumbnails(picture.unsqueeze(0)));
      const auto row = found(c, CxrView(v)).to(at::kCPU, at::kFloat);
      embeddings.push_back(row.dim() == 3 ? row.mean(1) : row);
    }
    if (thumbnails.size() >= 2)
      CxrNovelty(at::cat(thumbnails), at::cat(embeddings)).save(model, CxrView(v));
  }
}

}  // namespace

ModelCard denoiser_card(const DiffusionOptions& options, const Dataset& dataset,
                        const fs::path& folder) {
  std::map<std::string, fs::path> parts;
  if (options.refiner.kind != Refinement::none) parts["refiner"] = folder / "refiner";
  const IntensityWindow& window = dataset.info().window;
  return {.title = "Latent diffusion model from chest X-ray to CT pulmonary angiography",
          .what =
              "Generates CT volumes for a chest X-ray, with `x2ctpa sample`. They are synthetic: "
              "what the model finds likely, not what is in the patient.",
          .task = "image-to-3d",
          .tags = {"chest-x-ray", "latent-diffusion", "synthetic-data"},
          .command = "train-diffusion",
          .recipe = options_to_yaml(options),
          .limits = {fmt::format("Values outside {} to {} {} cannot be generated.", window.min_hu,
                                 window.max_hu, dataset.info().unit),
                     "An X-ray does not hold what a CTPA shows; emboli in a generated volume are "
                     "guesses."},
          .trainings = {folder},
          .parts = std::move(parts)};
}

void write_denoiser_model(const Dataset& dataset, const DiffusionInputs& inputs,
                          const DiffusionOptions& options, CtpaDenoiser denoiser,
                          DenoisingTask& task, const fs::path& out) {
  const CxrViews views = options.denoiser.views;
  withdraw_model(out);
  copy_model(inputs.autoencoder, out / "autoencoder");
  if (options.denoiser.cxr_encoder == CxrEncoding::frozen)
    copy_model(inputs.cxr_encoder, out / "cxr_encoder");
  task.apply_updates();
  write_novelty(
      dataset, paired(dataset.split("train"), views), views,
      [&](const Case& c, CxrView view) { return task.cxr_embedding(dataset, c, view); }, out);
  for (int64_t set = 0; task.means() && set < view_set_count(views); ++set)
    copy_model(view_set_folder(out.parent_path() / "mean", ViewSet(set)),
               view_set_folder(out / "mean", ViewSet(set)));
  fs::remove_all(out / "prior");
  save_view_sets(out / "prior", task.priors().of_sets());
  fs::remove_all(out / "classifier");
  if (auto classifier = task.learning_classifier()) {
    save_module(out / "classifier", *classifier, options_to_yaml(classifier->options()));
    write_classifier_info(out / "classifier", {.arm = PeArm::generated, .input = PeInput::latent});
  }
  fs::remove_all(out / "refiner");
  if (options.refiner.kind != Refinement::none)
    copy_model(out.parent_path() / "refiner" / "model", out / "refiner");
  write_file(out / "dataset.yaml", options_to_yaml(dataset.info()));
  write_file(out / "diffusion.yaml", options_to_yaml(options.process));
  write_file(out / "latent.yaml", options_to_yaml(task.scale()));
  save_module(out, *denoiser, options_to_yaml(options.denoiser));
}

}  // namespace x2ctpa
