#include "x2ctpa/training/losses.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/autograd.h>

#include <chrono>

#include "x2ctpa/core/autocast.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

// float32 from here on: these losses fail in half precision.
class FullPrecision {
 public:
  explicit FullPrecision(const at::Tensor& x) : off_(x.device().type(), c10::kFloat) {}

 private:
  Autocast off_;
};

at::Tensor single(const at::Tensor& x) { return x.to(at::kFloat); }

at::Tensor per_sample(const at::Tensor& x) { return x.flatten(1).mean(1); }

}  // namespace

at::Tensor weighted_sum(const std::vector<LossTerm>& terms) {
  at::Tensor sum;
  for (const auto& term : terms) {
    const auto part = term.weight * term.value;
    sum = sum.defined() ? sum + part : part;
  }
  return sum;
}

at::Tensor reconstruction_loss(const at::Tensor& x_hat, const at::Tensor& x) {
  return (x_hat - x).abs().mean();
}

at::Tensor squared_loss(const at::Tensor& x_hat, const at::Tensor& x) {
  return (x_hat - x).square().mean();
}

at::Tensor kl_loss(const LatentPosterior& posterior) {
  const auto mean = single(posterior.mean), logvar = single(posterior.logvar);
  return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean();
}

at::Tensor commitment_loss(const Quantised& codes, double weight) {
  const FullPrecision full(codes.z);
  return weight * at::mse_loss(codes.z, codes.nearest);
}

at::Tensor slice_distance(Lpips& lpips, const at::Tensor& x, const at::Tensor& x_hat,
                          const at::Tensor& place) {
  const FullPrecision full(x);
  return lpips->forward(slices_at(single(x_hat), place), slices_at(single(x), place)).mean();
}

at::Tensor discriminator_loss(GanLoss kind, const at::Tensor& real, const at::Tensor& fake) {
  switch (kind) {
    case GanLoss::hinge:
      return 0.5 * (at::relu(1 - real).mean() + at::relu(1 + fake).mean());
    case GanLoss::vanilla:
      return 0.5 * (at::softplus(-real).mean() + at::softplus(fake).mean());
    case GanLoss::least_squares:
      break;
  }
  return 0.5 * ((real - 1).square().mean() + fake.square().mean());
}

at::Tensor generator_loss(GanLoss kind, const at::Tensor& fake) {
  return kind == GanLoss::least_squares ? (fake - 1).square().mean() : -fake.mean();
}

at::Tensor feature_matching_loss(const PatchLogits& fake, const PatchLogits& real) {
  const size_t count = fake.features.size() - 1;
  at::Tensor sum;
  for (size_t i = 0; i < count; ++i) {
    const auto distance = (fake.features[i] - real.features.at(i).detach()).abs().mean();
    sum = sum.defined() ? sum + distance : distance;
  }
  return sum * (4.0 / double(count));
}

AdversarialLosses adversarial_losses(DiscriminatorPair& discriminators, GanLoss kind,
                                     const at::Tensor& x, const at::Tensor& x_hat,
                                     const at::Tensor& place) {
  const FullPrecision full(x);
  const auto slices = discriminators->slices(slices_at(single(x_hat), place));
  const auto volumes = discriminators->volumes(single(x_hat));
  PatchLogits real_slices, real_volumes;
  {
    at::NoGradGuard no_grad;
    real_slices = discriminators->slices(slices_at(single(x), place));
    real_volumes = discriminators->volumes(single(x));
  }
  return {
      generator_loss(kind, slices.logits), generator_loss(kind, volumes.logits),
      feature_matching_loss(slices, real_slices) + feature_matching_loss(volumes, real_volumes)};
}

std::vector<LossTerm> discriminator_losses(DiscriminatorPair& discriminators, GanLoss kind,
                                           const at::Tensor& x, const at::Tensor& x_hat,
                                           const at::Tensor& place) {
  const FullPrecision full(x);
  const auto real = single(x), made = single(x_hat.detach());
  const auto slices =
      discriminator_loss(kind, discriminators->slices(slices_at(real, place)).logits,
                         discriminators->slices(slices_at(made, place)).logits);
  const auto volumes = discriminator_loss(kind, discriminators->volumes(real).logits,
                                          discriminators->volumes(made).logits);
  return {{"slices", 1, slices}, {"volumes", 1, volumes}};
}

at::Tensor prediction_loss(PredictionLoss loss, const at::Tensor& prediction,
                           const at::Tensor& target, double huber_delta) {
  switch (loss) {
    case PredictionLoss::l1:
      return per_sample((prediction - target).abs());
    case PredictionLoss::mse:
      return per_sample((prediction - target).square());
    case PredictionLoss::huber:
      break;
  }
  return per_sample(at::huber_loss(prediction, target, at::Reduction::None, huber_delta));
}

at::Tensor min_snr_weights(const NoiseSchedule& schedule, Prediction kind, const at::Tensor& t,
                           double gamma) {
  const auto rows = t.to(at::kCPU);
  const auto signal = schedule.signal().index_select(0, rows),
             noise = schedule.noise().index_select(0, rows);
  const auto signal2 = signal.square(), noise2 = noise.square();
  // min(signal^2, gamma noise^2) is noise^2 min(SNR, gamma), and finite at both ends.
  auto weights = at::minimum(signal2, gamma * noise2);
  if (kind == Prediction::noise) weights = weights / signal2.clamp_min(1e-16);
  if (kind == Prediction::flow) weights = weights / (signal + noise).square();
  if (kind == Prediction::x0) weights = weights / noise2.clamp_min(1e-16);
  return weights.to(t.device(), at::kFloat);
}

at::Tensor perceptual_losses(Lpips& lpips, LatentCodec& autoencoder, const at::Tensor& z_hat,
                             const at::Tensor& z, const at::Tensor& place) {
  const FullPrecision full(z);
  at::Tensor target;
  {
    at::NoGradGuard no_grad;
    target = autoencoder.decode_slices(single(z), place);
  }
  return lpips->forward(autoencoder.decode_slices(single(z_hat), place), target);
}

at::Tensor latent_adversarial_losses(LatentDiscriminator& discriminator, const at::Tensor& z_hat) {
  const FullPrecision full(z_hat);
  return per_sample((discriminator->forward(single(z_hat)).logits - 1).square());
}

at::Tensor latent_discriminator_losses(LatentDiscriminator& discriminator, const at::Tensor& z_hat,
                                       const at::Tensor& z) {
  const FullPrecision full(z);
  const auto made = per_sample(discriminator->forward(single(z_hat.detach())).logits.square());
  const auto real = per_sample((discriminator->forward(single(z)).logits - 1).square());
  return 0.5 * (made + real);
}

at::Tensor classification_losses(DenseNet3d& classifier, const at::Tensor& z_hat,
                                 const at::Tensor& labels, double positive_weight) {
  const FullPrecision full(z_hat);
  const auto logit = classifier->forward(single(z_hat)).squeeze(1);
  const auto y = labels.to(logit.options());
  const auto weight =
      (y == 0).to(logit.scalar_type()) + positive_weight * (y == 1).to(logit.scalar_type());
  return at::binary_cross_entropy_with_logits(logit, y.clamp(0, 1), weight, {},
                                              at::Reduction::None);
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels,
                         const at::Tensor& positive_weight) {
  return at::binary_cross_entropy_with_logits(logits, labels, {}, positive_weight);
}

TimedLoss timed_loss(const at::Tensor& z_hat,
                     const std::function<at::Tensor(const at::Tensor&)>& loss) {
  const auto start = std::chrono::steady_clock::now();
  const auto z = z_hat.detach().requires_grad_();
  const auto value = loss(z);
  const auto gradient = torch::autograd::grad({value}, {z})[0];
  // A graph from z_hat on with this value and this gradient.
  const auto linear = (z_hat * gradient).sum();
  const auto grafted = linear + (value.detach() - linear.detach());
  // Reading the value waits for the device.
  grafted.item<double>();
  return {grafted, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

}  // namespace x2ctpa
