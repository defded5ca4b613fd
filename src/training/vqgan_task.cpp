#include "training/vqgan_task.h"

#include <fmt/format.h>
#include <torch/utils.h>

#include <cmath>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/training/losses.h"

namespace x2ctpa {

VqganTask::VqganTask(const VaeOptions& options, Lpips lpips, const RuntimeOptions& runtime,
                     int64_t batches_per_epoch, const Processes& processes)
    : options_(options.loss),
      lpips_(std::move(lpips)),
      seed_(runtime.seed),
      batches_per_epoch_(batches_per_epoch),
      batches_per_step_(options.train.accumulate * processes.count()),
      processes_(processes),
      device_(select_device(runtime)) {
  // Initial weights come from the global generator: seed it by name.
  torch::manual_seed(stream_seed(seed_, "vae/weights"));
  vqgan_ = trained_->register_module("vqgan", Vqgan3d(options.model));
  usage_ = trained_->register_module("usage", CodebookUsage(options.model.codes));
  trained_->to(device_);
  // They are large: a training that ends before they begin has none.
  if (!options_.gan() || options_.gan_start_step >= options.train.steps) return;
  torch::manual_seed(stream_seed(seed_, "vae/discriminators"));
  discriminators_ = DiscriminatorPair(DiscriminatorPairOptions{
      options.model.channels, options_.discriminator_channels, options_.discriminator_layers});
  discriminators_->to(device_);
}

StepLoss VqganTask::loss(const Batch& batch, int64_t number) {
  const auto x = batch.ct.to(device_, /*non_blocking=*/true);
  const auto out = vqgan_->forward(x, random_stream(seed_, fmt::format("vae/step/{}", number)));
  const auto place =
      at::rand({x.size(0)}, random_stream(seed_, fmt::format("vae/slice/{}", number)),
               at::TensorOptions(at::kFloat));
  std::vector<LossTerm> terms{
      {"l1", options_.l1_weight, reconstruction_loss(out.reconstruction, x)},
      {"commitment", 1, commitment_loss(out.codes, vqgan_->options().commitment_weight)}};
  if (lpips_)
    terms.push_back({"perceptual", options_.perceptual_weight,
                     slice_distance(lpips_, x, out.reconstruction, place)});
  last_.reset();
  if (discriminators_ && number / batches_per_step_ >= options_.gan_start_step) {
    const auto gan =
        adversarial_losses(discriminators_, options_.gan_loss, x, out.reconstruction, place);
    terms.push_back({"gan_slices", options_.slice_gan_weight, gan.slices});
    terms.push_back({"gan_volumes", options_.volume_gan_weight, gan.volumes});
    terms.push_back({"features", options_.feature_weight, gan.features});
    last_ = Seen{x, out.reconstruction.detach(), place};
  }
  StepLoss loss(weighted_sum(terms));
  for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
  loss.terms.emplace_back("perplexity", out.codes.perplexity);
  for (const auto& c : batch.cases) loss.cases.push_back(c.id);
  loss.inputs = {x};
  count_codes(out, number, loss);
  return loss;
}

StepLoss VqganTask::discriminator_loss() {
  if (!last_) return {};
  auto terms = discriminator_losses(discriminators_, options_.gan_loss, last_->x, last_->x_hat,
                                    last_->place);
  terms[0].weight = options_.slice_gan_weight;
  terms[1].weight = options_.volume_gan_weight;
  StepLoss loss(weighted_sum(terms));
  for (const auto& term : terms) loss.terms.emplace_back(term.name, term.value.detach());
  return loss;
}

at::Tensor VqganTask::reconstruction(const at::Tensor& x) {
  return vqgan_->forward(x.unsqueeze(0).to(device_)).reconstruction.squeeze(0);
}

void VqganTask::count_codes(const Vqgan3dOutput& out, int64_t number, StepLoss& loss) {
  usage_->add(out.codes.indices, [&](at::Tensor& counts) {
    if (!processes_.alone()) processes_.sum(counts);
  });
  if ((number / processes_.count() + 1) % batches_per_epoch_ == 0) {
    usage_->end_epoch();
    const double codes = double(vqgan_->options().codes), perplexity = usage_->last_perplexity();
    if (perplexity < options_.collapse_perplexity * codes) {
      log_warning(
          "train-vae: the codebook has collapsed: a perplexity of {:.1f} over the epoch, {:.2f}% "
          "of {} codes used. The unused ones are drawn anew. If it comes again, lower the learning "
          "rate or take fewer codes.",
          perplexity, 100 * usage_->last_use(), codes);
      vqgan_->codebook()->restart(out.z, usage_->unused(),
                                  random_stream(seed_, fmt::format("vae/restart/{}", number)));
    }
  }
  if (std::isnan(usage_->last_use())) return;
  loss.terms.emplace_back("epoch_code_use", at::tensor(usage_->last_use()));
  loss.terms.emplace_back("epoch_perplexity", at::tensor(usage_->last_perplexity()));
}

}  // namespace x2ctpa
