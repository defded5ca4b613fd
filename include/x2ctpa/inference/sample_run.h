// Volumes for many X-rays: one load of the model, batches, resume, shards, and what several samples
// of an X-ray say together.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/shard.h"
#include "x2ctpa/inference/sample_items.h"
#include "x2ctpa/inference/sample_options.h"

namespace x2ctpa {

struct SampleJob {
  std::filesystem::path model;  ///< folder of train-diffusion
  std::filesystem::path out;
  std::filesystem::path
      classifier;              ///< a classifier of volumes for the spread of the PE score, or empty
  std::vector<CxrItem> xrays;  ///< of all shards
  std::string dataset_hash;    ///< of the dataset that they are of; empty: of none
  Shard shard;  ///< an X-ray belongs to the same one whatever is done already; its samples stay
                ///< together
};

/// Training cases of the model's own run are made from means of fits without them, which
/// `<model>/../means` has, so that their volumes are as good as those of new patients, no better.
///
/// Makes what is not there yet of this shard's volumes. An X-ray that cannot be read goes to
/// failures.csv and the rest goes on; the result is then ExitCode::partial, or no_data when there
/// is no volume at all. Throws Error for a model that is not whole, a folder that cannot be
/// written, a full disk, and (interrupted) on a signal; what is finished then stays valid.
ExitCode run_samples(const SampleJob& job, const SampleOptions& options,
                     const RuntimeOptions& runtime);

}  // namespace x2ctpa
