// The folders that training the denoiser starts from, and what they decide.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

/// Those with both a volume and an X-ray.
std::vector<Case> paired(const std::vector<Case>& cases, CxrViews views);

/// Throws Error when too few of the training cases have both views for a model of both.
void check_views(CxrViews views, const std::vector<Case>& training);

/// With `inputs.init`: the options and folders that it decides, in the place of those given. Throws
/// Error when it is no whole diffusion model.
void take_over(DiffusionInputs& inputs, DiffusionOptions& options);

/// The options of a new denoiser that follow from the data and from the CXR encoder.
void complete(DiffusionOptions& options, const DiffusionInputs& inputs, const DatasetInfo& info);

/// Throws Error when the autoencoder was trained on another grid or window than the dataset's.
void check_same_data(const Dataset& dataset, const std::filesystem::path& autoencoder);

/// Throws Error when `latent` (C, d, h, w) of the dataset is not of the shape that inputs.init
/// learnt.
void check_same_latents(const LatentScale& scale, const at::Tensor& latent,
                        const DiffusionInputs& inputs);

/// Everything that a checkpoint depends on.
std::string settings_of(const DiffusionOptions& options, const Dataset& dataset,
                        const DiffusionInputs& inputs, int64_t seed);

/// Copies the files of the model folder `from`.
void copy_model(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace x2ctpa
