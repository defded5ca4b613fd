// The network that train-vae trains, of any kind that it trains.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/processes.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

class TrainedAutoencoder {
 public:
  struct Output {
    at::Tensor x_hat;             ///< as x
    std::vector<LossTerm> terms;  ///< what the kind itself asks of its latents
  };

  virtual ~TrainedAutoencoder() = default;

  /// Everything that a resumed run goes on with.
  virtual torch::nn::Module& module() = 0;
  virtual int64_t channels() const = 0;  ///< of a volume

  /// Volumes x (B, channels, D, H, W), batch `number` of the run.
  virtual Output forward(const at::Tensor& x, int64_t number) = 0;

  /// Gives the network its start from `count` volumes (channels, D, H, W), where its kind has one.
  virtual void start_from(int64_t, const std::function<at::Tensor(int64_t)>&) {}

  /// What the log shows of the batch that forward() was last called with.
  virtual void add_to_log(int64_t number, StepLoss& loss) = 0;

  /// As x (channels, D, H, W), on the CPU. Of the module in evaluation mode, without gradients.
  virtual at::Tensor reconstruction(const at::Tensor& x) = 0;

  /// Writes the model folder `folder`.
  virtual void save(const std::filesystem::path& folder) const = 0;
};

/// The autoencoder of options.kind, which check_trainable() passes, with initial weights from the
/// global generator. `processes` must outlive it.
std::unique_ptr<TrainedAutoencoder> make_trained_autoencoder(const VaeOptions& options,
                                                             int64_t seed,
                                                             int64_t batches_per_epoch,
                                                             const Processes& processes);

}  // namespace x2ctpa
