// The model folder that a training of a denoiser leaves.
#pragma once

#include <filesystem>

#include "training/denoising_task.h"
#include "training/diffusion_inputs.h"
#include "training/model_card.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

/// What the folder says of itself; `folder` is that of the training.
ModelCard denoiser_card(const DiffusionOptions& options, const Dataset& dataset,
                        const std::filesystem::path& folder);

/// Writes everything that sampling needs to `out`, in the folder of the training.
void write_denoiser_model(const Dataset& dataset, const DiffusionInputs& inputs,
                          const DiffusionOptions& options, CtpaDenoiser denoiser,
                          DenoisingTask& task, const std::filesystem::path& out);

}  // namespace x2ctpa
