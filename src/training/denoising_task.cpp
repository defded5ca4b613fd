#include "training/denoising_task.h"

#include <string>

#include "x2ctpa/core/autocast.h"

namespace x2ctpa {
namespace {

at::Tensor uniform(at::IntArrayRef shape, at::Generator random) {
  return at::rand(shape, random, at::TensorOptions(at::kFloat));
}

// Without waiting, where the loader made `x` in page-locked memory.
at::Tensor moved(const at::Tensor& x, c10::Device device) {
  return x.to(device, /*non_blocking=*/true);
}

}  // namespace

DenoisingTask::DenoisingTask(const DiffusionOptions& options, Latents latents, LatentScale scale,
                             std::optional<FrozenFeatures> features,
                             std::optional<LatentMeans> means, ViewPriors priors,
                             CtpaDenoiser model, Lora lora, LossNetworks networks,
                             c10::Device device)
    : options_(options),
      schedule_(options.process.schedule),
      prediction_(options.process.prediction),
      latents_(std::move(latents)),
      scale_(std::move(scale)),
      features_(std::move(features)),
      means_(std::move(means)),
      priors_(std::move(priors)),
      model_(std::move(model)),
      lora_(std::move(lora)),
      networks_(std::move(networks)),
      device_(device) {
  priors_.to(device);
  if (options.losses.adversarial.weight == 0) return;
  auto discriminator = options.losses.adversarial.discriminator;
  discriminator.channels = scale_.channels();
  discriminator_ = LatentDiscriminator(discriminator);
  discriminator_->to(device);
}

BatchContent DenoisingTask::content() const {
  BatchContent content{.ct = false, .cxr = !features_, .paired = true, .views = views()};
  content.more["latent"] = [this](const Case& c) { return latents_.batch({c}).squeeze(0); };
  if (means_) content.more["mean"] = [this](const Case& c) { return means_->of(c); };
  if (!features_) return content;
  content.more["pooled"] = [this](const Case& c) { return features_->pooled(c); };
  if (features_->has_tokens())
    content.more["tokens"] = [this](const Case& c) { return features_->tokens(c); };
  return content;
}

at::Tensor DenoisingTask::cxr_embedding(const Dataset& dataset, const Case& c, CxrView view) {
  if (!features_) {
    const auto all = dataset.load_views(c, views()).unsqueeze(0);
    const auto cxr = views() == CxrViews::both ? only_views(all, ViewSet(int64_t(view))) : all;
    return model_->embed(cxr.to(device_));
  }
  return (options_.denoiser.unet.cond_tokens > 0 ? features_->tokens(c) : features_->pooled(c))
      .unsqueeze(0);
}

CxrCondition DenoisingTask::condition(const Batch& batch, const at::Tensor& labels) {
  auto condition = condition_without_mean(batch, labels);
  condition.sets = views() == CxrViews::both ? view_sets_of(batch.cxr)
                                             : at::zeros({int64_t(batch.cases.size())}, at::kLong);
  if (!means_) return condition;
  const auto& means = batch.more.at("mean");
  condition.mean =
      moved(views() == CxrViews::both ? of_view_sets(means, condition.sets) : means, device_);
  condition.rest_std = means_->rest_std(condition.sets);
  return condition;
}

CxrCondition DenoisingTask::condition_without_mean(const Batch& batch, const at::Tensor& labels) {
  if (!features_) return model_->condition(moved(batch.cxr, device_), labels);
  VisionFeatures found{{}, moved(batch.more.at("pooled"), device_)};
  if (features_->has_tokens()) found.tokens = moved(batch.more.at("tokens"), device_);
  return model_->condition_from(found, labels);
}

at::Tensor DenoisingTask::labels_of(const Batch& batch, at::Generator random,
                                    double dropout) const {
  if (!options_.denoiser.label_guidance) return {};
  const auto hidden = uniform(batch.pe.sizes(), random) < dropout;
  return batch.pe.masked_fill(hidden.logical_or(batch.pe < 0), double(label_unknown)).to(device_);
}

DenoisingTask::Noise DenoisingTask::draw(const Batch& batch, at::Generator random) {
  if (lora_) lora_->apply();
  const auto latent = scale_.standardise(moved(batch.more.at("latent"), device_));
  const auto t =
      at::randint(schedule_.timesteps(), {latent.size(0)}, random, at::kLong).to(device_);
  return {latent, t, at::randn(latent.sizes(), random, at::TensorOptions(at::kFloat)).to(device_)};
}

DenoisingTask::Noised DenoisingTask::noised(const Noise& noise, CxrCondition condition) {
  const auto x0 = condition.rest(noise.latent);
  const auto x_t = q_sample(schedule_, x0, noise.t, noise.eps);
  const auto target = prediction_target(schedule_, prediction_, x0, noise.t, noise.eps);
  return {noise.latent, x0, noise.t, x_t, target, std::move(condition)};
}

at::Tensor DenoisingTask::denoising_loss(const Noised& batch, const at::Tensor& prediction) const {
  const auto& o = options_.losses;
  const auto losses =
      prediction_loss(o.kind, prediction.to(at::kFloat), batch.target, o.huber_delta);
  if (o.min_snr_gamma == 0) return losses.mean();
  return (min_snr_weights(schedule_, prediction_, batch.t, o.min_snr_gamma) * losses).mean();
}

at::Tensor DenoisingTask::predict(const at::Tensor& x_t, const at::Tensor& t,
                                  const CxrCondition& condition, const at::Tensor& drop) {
  const auto found = model_->forward(x_t, t, condition, drop);
  if (priors_.is_empty()) return found;
  return found.to(at::kFloat) + priors_.prediction(schedule_, prediction_, x_t, t, condition.sets);
}

double DenoisingTask::validation_loss(const Batch& batch, at::Generator random) {
  at::NoGradGuard no_grad;
  const auto noise = draw(batch, random);
  const auto noisy = noised(noise, condition(batch, labels_of(batch, random, 0)));
  const auto out = predict(noisy.x_t, noisy.t, noisy.condition);
  return denoising_loss(noisy, out).item<double>();
}

StepLoss DenoisingTask::loss(const Batch& batch, at::Generator random, int64_t step) {
  const auto noise = draw(batch, random);
  const auto drop = (uniform({noise.t.size(0)}, random) < options_.condition_dropout).to(device_);
  const auto labels = labels_of(batch, random, options_.label_dropout);
  const auto noisy = noised(noise, condition(batch, labels));
  const auto out = predict(noisy.x_t, noisy.t, noisy.condition, drop);
  const auto denoising = denoising_loss(noisy, out);
  StepLoss loss(options_.losses.weight * denoising);
  loss.terms.emplace_back("denoising", denoising.detach());
  for (const auto& c : batch.cases) loss.cases.push_back(c.id);
  loss.inputs = {noisy.x0};
  add_latent_losses(loss, noisy, out, batch, random, step);
  return loss;
}

void DenoisingTask::add_latent_losses(StepLoss& loss, const Noised& noised,
                                      const at::Tensor& prediction, const Batch& batch,
                                      at::Generator random, int64_t step) {
  const auto& o = options_.losses;
  const bool perceptual = networks_.lpips && o.perceptual.acts(step),
             adversarial = discriminator_ && o.adversarial.acts(step),
             classification = networks_.classifier && o.classification.acts(step);
  last_z_hat_ = last_pe_ = at::Tensor();
  if (!perceptual && !adversarial && !classification) return;
  const Autocast off(device_.type(), at::kFloat);
  const auto z_hat =
      predicted_x0(schedule_, prediction_, noised.x_t, noised.t, prediction.to(at::kFloat));
  // The share of signal in x_t: where all is noise, the clean latent that a prediction stands for
  // is a guess, and under noise prediction its gradient has no bound.
  const auto trust =
      schedule_.signal().square().index_select(0, noised.t.to(at::kCPU)).to(z_hat.options());
  const auto whole = [&](const at::Tensor& z) {
    CxrCondition condition = noised.condition;
    if (condition.mean.defined()) condition.mean = condition.mean.slice(0, 0, z.size(0));
    if (condition.rest_std.defined())
      condition.rest_std = condition.rest_std.slice(0, 0, z.size(0));
    return scale_.restore(condition.latent(z));
  };
  const auto add = [&](const std::string& name, double weight, int64_t cases, const auto& losses) {
    const int64_t n = cases > 0 ? std::min(cases, z_hat.size(0)) : z_hat.size(0);
    const auto timed = timed_loss(z_hat.slice(0, 0, n), [&](const at::Tensor& z) {
      return (trust.slice(0, 0, n) * losses(z)).mean();
    });
    loss.total = loss.total + weight * timed.value;
    loss.terms.emplace_back(name, timed.value.detach());
    loss.terms.emplace_back(name + "_seconds", at::tensor(timed.seconds));
  };
  if (perceptual) {
    const auto place = uniform({z_hat.size(0)}, random);
    add("perceptual", o.perceptual.weight, o.perceptual.cases, [&](const at::Tensor& z) {
      const int64_t n = z.size(0);
      return perceptual_losses(networks_.lpips, *networks_.autoencoder, whole(z),
                               scale_.restore(noised.latent.slice(0, 0, n)), place.slice(0, 0, n));
    });
  }
  last_trust_ = trust;
  if (adversarial) {
    add("adversarial", o.adversarial.weight, 0,
        [&](const at::Tensor& z) { return latent_adversarial_losses(discriminator_, z); });
    last_z_ = noised.x0;
    last_z_hat_ = z_hat.detach();
  }
  if (classification) {
    const auto seen = [&](const at::Tensor& raw) {
      return networks_.classifier_scale ? networks_.classifier_scale->standardise(raw) : raw;
    };
    const auto labels = batch.pe.to(device_);
    // One that learns judges by what it has seen in all batches, not in this one.
    networks_.classifier->eval();
    add("classification", o.classification.weight, 0, [&](const at::Tensor& z) {
      return classification_losses(networks_.classifier, seen(whole(z)), labels,
                                   networks_.positive_weight);
    });
    if (!networks_.classifier_learns) return;
    last_true_ = seen(scale_.restore(noised.latent)).detach();
    last_found_ = seen(whole(z_hat)).detach();
    last_pe_ = labels;
  }
}

void DenoisingTask::apply_updates() {
  at::NoGradGuard no_grad;
  if (lora_) lora_->apply();
}

StepLoss DenoisingTask::discriminator_loss() {
  if (!last_z_hat_.defined()) return {};
  return StepLoss(
      (last_trust_ * latent_discriminator_losses(discriminator_, last_z_hat_, last_z_)).mean());
}

DenseNet3d DenoisingTask::learning_classifier() const {
  return networks_.classifier_learns ? networks_.classifier : DenseNet3d(nullptr);
}

StepLoss DenoisingTask::classifier_loss() {
  if (!last_pe_.defined()) return {};
  networks_.classifier->train();
  // Both in one batch, whose statistics its norms take.
  const auto losses =
      classification_losses(networks_.classifier, at::cat({last_true_, last_found_}),
                            at::cat({last_pe_, last_pe_}), networks_.positive_weight);
  const auto halves = losses.chunk(2);
  const auto of_true = halves[0].mean(), of_found = (last_trust_ * halves[1]).mean();
  StepLoss loss(0.5 * (of_true + of_found));
  loss.terms.emplace_back("true", of_true.detach());
  loss.terms.emplace_back("found", of_found.detach());
  return loss;
}

}  // namespace x2ctpa
