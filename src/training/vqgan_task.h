// What the VQ-GAN learns: the losses of a batch of volumes.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "training/codebook_usage.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/models/discriminators.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

class VqganTask {
 public:
  /// `lpips` may be empty. `processes` must outlive the task.
  VqganTask(const VaeOptions& options, Lpips lpips, const RuntimeOptions& runtime,
            int64_t batches_per_epoch, const Processes& processes);

  /// The loss of batch `number` of the run.
  StepLoss loss(const Batch& batch, int64_t number);

  /// The discriminators' loss of the batch that loss() was last called with; undefined before they
  /// begin.
  StepLoss discriminator_loss();

  /// (1, D, H, W), as x.
  at::Tensor reconstruction(const at::Tensor& x);

  /// The VQ-GAN, and the counts of its codes that a resumed run goes on with.
  torch::nn::Module& trained() { return *trained_; }
  Vqgan3d vqgan() const { return vqgan_; }
  /// Empty when none are trained.
  DiscriminatorPair discriminators() const { return discriminators_; }

 private:
  struct Seen {
    at::Tensor x, x_hat, place;
  };

  /// Use of the codebook over each epoch; with too little of it, unused codes are drawn anew.
  void count_codes(const Vqgan3dOutput& out, int64_t number, StepLoss& loss);

  VqganLossOptions options_;
  Lpips lpips_;
  int64_t seed_, batches_per_epoch_, batches_per_step_;
  const Processes& processes_;
  c10::Device device_;
  std::shared_ptr<torch::nn::Module> trained_ = std::make_shared<torch::nn::Module>("trained");
  Vqgan3d vqgan_{nullptr};
  CodebookUsage usage_{nullptr};
  DiscriminatorPair discriminators_{nullptr};
  std::optional<Seen> last_;  // for the discriminators
};

}  // namespace x2ctpa
