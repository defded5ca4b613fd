#include "evaluation/reference_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

ReferenceModel::ReferenceModel(const std::filesystem::path& model, const RuntimeOptions& runtime,
                               const DatasetInfo& dataset)
    : generator_(model, runtime) {
  const auto& grid = generator_.info().grid_dhw;
  if (grid == dataset.grid_dhw) return;
  throw Error(fmt::format("the model {} makes volumes of {} voxels, the dataset has {}",
                          model.string(), fmt::join(grid, "x"), fmt::join(dataset.grid_dhw, "x")));
}

at::Tensor ReferenceModel::autoencoder_alone(const Volume& truth) {
  if (!truth.hu.sizes().equals(generator_.info().grid_dhw)) return {};
  return generator_.reconstruct(truth.hu.unsqueeze(0)).squeeze(0);
}

at::Tensor ReferenceModel::regression_alone(const std::string& id, const at::Tensor& cxr) {
  if (!has_regression() || cxr.size(1) != generator_.info().cxr_size) return {};
  at::Tensor pictures = cxr.to(at::kFloat);
  // Evaluation knows the frontal X-ray.
  if (generator_.views() == CxrViews::both && pictures.size(0) == 1)
    pictures = at::cat({pictures, missing_view(pictures.size(1))});
  const std::vector<SampleRequest> requests{{id, pictures}};
  return generator_.decode(generator_.mean_latents(requests), requests).squeeze(0);
}

std::unique_ptr<ReferenceModel> open_references(const EvaluationInputs& inputs,
                                                const EvaluateOptions& options,
                                                const RuntimeOptions& runtime,
                                                std::string& why_not) {
  if (!options.references) {
    why_not = "not measured: evaluate.references is false";
    return nullptr;
  }
  if (inputs.model.empty()) {
    why_not = inputs.run.empty() ? "plain folders hold no model"
                                 : "the run has no diffusion/model, and --model names none";
    return nullptr;
  }
  try {
    auto model = std::make_unique<ReferenceModel>(inputs.model, runtime, inputs.info);
    if (!model->has_regression()) why_not = "the model makes whole latents: it has no regression";
    return model;
  } catch (const Error& e) {
    if (inputs.model_is_given) throw;
    why_not = e.what();
    return nullptr;
  }
}

}  // namespace x2ctpa
