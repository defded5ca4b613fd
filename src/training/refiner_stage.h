// Training of the refiner: from the decoded linear mean of each case to its volume.
#pragma once

#include <filesystem>

#include "training/latent_means.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/refiner_options.h"

namespace x2ctpa {

/// Trains the refiner on the means of `means`, decoded by the autoencoder in the model folder
/// `diffusion`/model, and writes `diffusion`/model/refiner; checkpoints and logs are in
/// `diffusion`/refiner, the decoded means in `diffusion`/coarse.
void train_refiner(const Dataset& dataset, const LatentMeans& means, const RefinerOptions& options,
                   const RuntimeOptions& runtime, const std::filesystem::path& diffusion,
                   const TrainCall& call);

}  // namespace x2ctpa
