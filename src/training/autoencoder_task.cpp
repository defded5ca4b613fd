#include "training/autoencoder_task.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include <utility>
#include <vector>

#include "training/augmentation.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {

AutoencoderTask::AutoencoderTask(const VaeOptions& options, const IntensityWindow& window,
                                 Lpips lpips, const RuntimeOptions& runtime,
                                 int64_t batches_per_epoch, const Processes& processes)
    : options_(options.loss),
      shift_voxels_(options.augment_shift_voxels),
      contrast_range_(contrast_range(options.loss.contrast_weight, options.loss.contrast_window_hu,
                                     window, "vae.loss")),
      lpips_(std::move(lpips)),
      seed_(runtime.seed),
      batches_per_step_(options.train.accumulate * processes.count()),
      device_(select_device(runtime)) {
  // Initial weights come from the global generator: seed it by name.
  torch::manual_seed(stream_seed(seed_, "vae/weights"));
  autoencoder_ = make_trained_autoencoder(options, seed_, batches_per_epoch, processes);
  autoencoder_->module().to(device_);
  // They are large: a training that ends before they begin has none.
  if (!options_.gan() || options_.gan_start_step >= options.train.steps) return;
  torch::manual_seed(stream_seed(seed_, "vae/discriminators"));
  discriminators_ = DiscriminatorPair(DiscriminatorPairOptions{
      autoencoder_->channels(), options_.discriminator_channels, options_.discriminator_layers});
  discriminators_->to(device_);
}

std::vector<LossTerm> AutoencoderTask::voxel_losses(const at::Tensor& x_hat,
                                                    const at::Tensor& x) const {
  std::vector<LossTerm> terms{{"l1", options_.l1_weight, reconstruction_loss(x_hat, x)}};
  if (options_.squared_weight > 0)
    terms.push_back({"squared", options_.squared_weight, squared_loss(x_hat, x)});
  if (options_.contrast_weight == 0) return terms;
  const auto near = contrast_range_.of(x_hat), target = contrast_range_.of(x);
  terms.push_back({"contrast", options_.contrast_weight,
                   options_.l1_weight * reconstruction_loss(near, target) +
                       options_.squared_weight * squared_loss(near, target)});
  return terms;
}

StepLoss AutoencoderTask::loss(const Batch& batch, int64_t number) {
  const auto x = shifted(batch.ct.to(device_, /*non_blocking=*/true), shift_voxels_,
                         random_stream(seed_, fmt::format("vae/shift/{}", number)));
  const auto out = autoencoder_->forward(x, number);
  const auto place =
      at::rand({x.size(0)}, random_stream(seed_, fmt::format("vae/slice/{}", number)),
               at::TensorOptions(at::kFloat));
  auto terms = voxel_losses(out.x_hat, x);
  terms.insert(terms.end(), out.terms.begin(), out.terms.end());
  if (lpips_)
    terms.push_back(
        {"perceptual", options_.perceptual_weight, slice_distance(lpips_, x, out.x_hat, place)});
  last_.reset();
  if (discriminators_ && number / batches_per_step_ >= options_.gan_start_step) {
    const auto gan = adversarial_losses(discriminators_, options_.gan_loss, x, out.x_hat, place);
    terms.push_back({"gan_slices", options_.slice_gan_weight, gan.slices});
    terms.push_back({"gan_volumes", options_.volume_gan_weight, gan.volumes});
    terms.push_back({"features", options_.feature_weight, gan.features});
    last_ = Seen{x, out.x_hat.detach(), place};
  }
  StepLoss loss(weighted_sum(terms));
  for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
  for (const auto& c : batch.cases) loss.cases.push_back(c.id);
  loss.inputs = {x};
  autoencoder_->add_to_log(number, loss);
  return loss;
}

StepLoss AutoencoderTask::discriminator_loss() {
  if (!last_) return {};
  auto terms = discriminator_losses(discriminators_, options_.gan_loss, last_->x, last_->x_hat,
                                    last_->place);
  terms[0].weight = options_.slice_gan_weight;
  terms[1].weight = options_.volume_gan_weight;
  StepLoss loss(weighted_sum(terms));
  for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
  return loss;
}

}  // namespace x2ctpa
