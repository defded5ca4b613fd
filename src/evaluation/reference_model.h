// What two parts of the run's diffusion model make alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>

#include "x2ctpa/core/device.h"
#include "x2ctpa/evaluation/evaluation.h"
#include "x2ctpa/inference/ctpa_generator.h"

namespace x2ctpa {

class ReferenceModel {
 public:
  /// Throws Error for a folder that is no whole model, or one of another grid than `dataset`.
  ReferenceModel(const std::filesystem::path& model, const RuntimeOptions& runtime,
                 const DatasetInfo& dataset);

  /// The true volume encoded and decoded, (D, H, W) in HU: the most that a latent can carry.
  at::Tensor autoencoder_alone(const Volume& truth);
  /// The volume of the model's own mean for an X-ray (1, S, S), without diffusion; undefined for a
  /// model without a mean, and for an X-ray of another size.
  at::Tensor regression_alone(const std::string& id, const at::Tensor& cxr);

  bool has_regression() const { return generator_.has_mean(); }

 private:
  CtpaGenerator generator_;
};

/// The model of the run, or null with the reason in `why_not`; that is also told of a part that
/// the model lacks. Throws Error when a model that the user gave cannot be used.
std::unique_ptr<ReferenceModel> open_references(const EvaluationInputs& inputs,
                                                const EvaluateOptions& options,
                                                const RuntimeOptions& runtime,
                                                std::string& why_not);

}  // namespace x2ctpa
