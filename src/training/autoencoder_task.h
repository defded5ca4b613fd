// What an autoencoder learns: the losses of a batch of volumes.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "training/contrast_range.h"
#include "training/trained_autoencoder.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/models/discriminators.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

class AutoencoderTask {
 public:
  /// `window`: of the volumes. `lpips` may be empty. `processes` must outlive the task. Throws
  /// Error when the window of the contrast loss has nothing in common with `window`.
  AutoencoderTask(const VaeOptions& options, const IntensityWindow& window, Lpips lpips,
                  const RuntimeOptions& runtime, int64_t batches_per_epoch,
                  const Processes& processes);

  /// The loss of batch `number` of the run.
  StepLoss loss(const Batch& batch, int64_t number);

  /// The discriminators' loss of the batch that loss() was last called with; undefined before they
  /// begin.
  StepLoss discriminator_loss();

  TrainedAutoencoder& autoencoder() { return *autoencoder_; }
  /// Empty when none are trained.
  DiscriminatorPair discriminators() const { return discriminators_; }

 private:
  struct Seen {
    at::Tensor x, x_hat, place;
  };

  /// Of the reconstruction itself, by voxels.
  std::vector<LossTerm> voxel_losses(const at::Tensor& x_hat, const at::Tensor& x) const;

  AutoencoderLossOptions options_;
  std::vector<int64_t> shift_voxels_;
  ContrastRange contrast_range_;
  Lpips lpips_;
  int64_t seed_, batches_per_step_;
  c10::Device device_;
  std::unique_ptr<TrainedAutoencoder> autoencoder_;
  DiscriminatorPair discriminators_{nullptr};
  std::optional<Seen> last_;  // for the discriminators
};

}  // namespace x2ctpa
