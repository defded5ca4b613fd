// What the denoiser learns: the loss of a batch of cases.
#pragma once

#include <memory>
#include <optional>

#include "training/frozen_features.h"
#include "training/latent_means.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/diffusion/gaussian_prior.h"
#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/lora.h"
#include "x2ctpa/training/latents.h"
#include "x2ctpa/training/loop.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

/// The networks of the losses on latents, frozen but for a classifier that learns. Each may be
/// empty.
struct LossNetworks {
  Lpips lpips{nullptr};
  std::unique_ptr<LatentCodec> autoencoder;  ///< beside LPIPS
  DenseNet3d classifier{nullptr};
  bool classifier_learns = false;  ///< it is trained along with the denoiser, not frozen
  std::optional<LatentScale>
      classifier_scale;        ///< of the latents that it was trained with; none: unscaled
  double positive_weight = 1;  ///< of cases with PE, for the classifier
};

class DenoisingTask {
 public:
  /// `lora` and `priors` may be empty.
  DenoisingTask(const DiffusionOptions& options, Latents latents, LatentScale scale,
                std::optional<FrozenFeatures> features, std::optional<LatentMeans> means,
                ViewPriors priors, CtpaDenoiser model, Lora lora, LossNetworks networks,
                c10::Device device);

  /// What a batch must carry; volumes stay on the disk, their latents serve.
  BatchContent content() const;

  /// What the encoder makes of a case's X-ray of one view: (1, E), or (1, tokens, E).
  at::Tensor cxr_embedding(const Dataset& dataset, const Case& c, CxrView view);

  /// The condition of a batch; `labels` (B): 0, 1 or 2 with label guidance (all unknown when
  /// undefined), else undefined.
  CxrCondition condition(const Batch& batch, const at::Tensor& labels = {});

  /// The loss of training at `step`: X-rays and labels are hidden as often as the options say. The
  /// terms hold each loss unweighted, and the seconds that each one on latents took.
  StepLoss loss(const Batch& batch, at::Generator random, int64_t step);

  /// The denoising loss alone, nothing hidden, of a batch of validation cases.
  double validation_loss(const Batch& batch, at::Generator random);

  /// The prediction for x_t at t: the network's beside that of the prior.
  at::Tensor predict(const at::Tensor& x_t, const at::Tensor& t, const CxrCondition& condition,
                     const at::Tensor& drop = {});

  /// The discriminator of latents, and its loss of the batch that loss() was last called with.
  LatentDiscriminator discriminator() const { return discriminator_; }
  StepLoss discriminator_loss();

  /// The classifier of latents if it is trained along, else empty; and its loss of the batch that
  /// loss() was last called with, on the true latents and on those that the denoiser found. Its
  /// dropout is drawn from torch's own generator.
  DenseNet3d learning_classifier() const;
  StepLoss classifier_loss();

  /// Puts the present low-rank updates, if any, into the denoiser.
  void apply_updates();

  const LatentScale& scale() const { return scale_; }
  /// Empty when the denoiser makes whole latents.
  const std::optional<LatentMeans>& means() const { return means_; }
  /// Empty when the network learns all.
  const ViewPriors& priors() const { return priors_; }

 private:
  struct Noise {
    at::Tensor latent, t, eps;
  };
  /// A batch with noise: `x0` is what the denoiser is to find of `latent`.
  struct Noised {
    at::Tensor latent, x0, t, x_t, target;
    CxrCondition condition;
  };
  Noise draw(const Batch& batch, at::Generator random);
  Noised noised(const Noise& noise, CxrCondition condition);
  CxrCondition condition_without_mean(const Batch& batch, const at::Tensor& labels);
  CxrViews views() const { return options_.denoiser.views; }
  at::Tensor denoising_loss(const Noised& batch, const at::Tensor& prediction) const;
  /// (B): 0 or 1, or 2 where the label is not known or hidden; undefined without label guidance.
  at::Tensor labels_of(const Batch& batch, at::Generator random, double dropout) const;
  void add_latent_losses(StepLoss& loss, const Noised& noised, const at::Tensor& prediction,
                         const Batch& batch, at::Generator random, int64_t step);

  DiffusionOptions options_;
  NoiseSchedule schedule_;
  Prediction prediction_;
  Latents latents_;
  LatentScale scale_;
  std::optional<FrozenFeatures> features_;
  std::optional<LatentMeans> means_;
  ViewPriors priors_;
  CtpaDenoiser model_;
  Lora lora_;
  LossNetworks networks_;
  LatentDiscriminator discriminator_{nullptr};
  c10::Device device_;
  // Of the last batch, for the discriminator and for the classifier.
  at::Tensor last_z_, last_z_hat_, last_trust_;
  at::Tensor last_true_, last_found_, last_pe_;
};

}  // namespace x2ctpa
