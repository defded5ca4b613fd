// Training of the refiner: from the decoded linear mean of each case to its volume.
#pragma once

#include <filesystem>

#include "training/latent_means.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/refiner_options.h"

namespace x2ctpa {

/// The model folders that it starts from, and of two views the share of cases without one of them.
struct RefinerInputs {
  std::filesystem::path mean, autoencoder;
  double view_dropout = 0;
};

/// Trains the refiner on the means of `means`, which is saved as inputs.mean, decoded by the
/// autoencoder, and writes `diffusion`/refiner/model; checkpoints and logs are beside it, the
/// decoded means in `diffusion`/coarse.
void train_refiner(const Dataset& dataset, const LatentMeans& means, const RefinerInputs& inputs,
                   const RefinerOptions& options, const RuntimeOptions& runtime,
                   const std::filesystem::path& diffusion, const TrainCall& call);

}  // namespace x2ctpa
