#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "training/denoiser_model.h"
#include "training/denoising_task.h"
#include "training/diffusion_inputs.h"
#include "training/diffusion_preview.h"
#include "training/loss_networks.h"
#include "training/model_card.h"
#include "training/refiner_stage.h"
#include "training/view_dropout.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/models/view_models.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

LatentScale scale_of(const Latents& latents, const std::vector<Case>& training,
                     LatentScaling scaling) {
  LatentStatistics statistics;
  for (const auto& c : training) {
    const auto latent = latents.batch({c});
    if (!at::isfinite(latent).all().item<bool>()) {
      throw Error(
          fmt::format("case {}: its latent holds values that are not finite. Look at its volume; "
                      "then delete {}/{}.safetensors, "
                      "and it is encoded anew.",
                      c.id, latents.folder().string(), c.id));
    }
    statistics.add(latent);
  }
  return scaling == LatentScaling::range ? statistics.range() : statistics.standard();
}

// Cases without PE per case with it.
double negatives_per_positive(const std::vector<Case>& training) {
  double positives = 0, negatives = 0;
  for (const auto& c : training) {
    if (c.pe) (*c.pe == 1 ? positives : negatives) += 1;
  }
  if (positives == 0 || negatives == 0) {
    throw Error(fmt::format("the classification loss needs training cases with and without PE, "
                            "found {} and {}; set "
                            "diffusion.loss.classification.weight to 0",
                            positives, negatives),
                ExitCode::no_data);
  }
  return negatives / positives;
}

// A denoiser and what of it is trained.
struct Trainee {
  CtpaDenoiser model{nullptr};
  Lora lora{nullptr};
  std::shared_ptr<torch::nn::Module> trained;
};

Trainee make_trainee(const DiffusionOptions& options, const DiffusionInputs& inputs,
                     const DatasetInfo& info, const LatentScale& scale, int64_t seed,
                     c10::Device device) {
  torch::manual_seed(stream_seed(seed, "diffusion/weights"));
  const ViewBeams beam(options.denoiser.views, info.geometry, info.lateral_source_to_centre_mm,
                       info.typical_spacing_at_mm(scale.size));
  const auto make = [&] {
    return CtpaDenoiser(options.denoiser, scale.channels(),
                        std::array<int64_t, 3>{scale.size[0], scale.size[1], scale.size[2]}, beam);
  };
  Trainee t;
  if (!inputs.init.empty()) {
    t.model = load_model(inputs.init, make);
  } else {
    t.model = make();
    if (options.denoiser.cxr_encoder == CxrEncoding::finetuned)
      load_module(inputs.cxr_encoder, *t.model->transformer());
  }
  t.model->to(device);
  t.trained = t.model.ptr();
  if (!options.lora.any()) return t;
  torch::manual_seed(stream_seed(seed, "diffusion/lora"));
  t.lora = Lora(*t.model, options.lora);
  t.trained = std::make_shared<torch::nn::Module>("trained");
  t.trained->register_module("lora", t.lora);
  // The null condition is no layer, and published models have it untrained.
  auto null_condition = t.model->named_parameters()["unet.null_cond"];
  null_condition.set_requires_grad(true);
  t.trained->register_parameter("null_cond", null_condition);
  return t;
}

DenseNet3d new_latent_classifier(DenseNet3dOptions options, int64_t channels, int64_t seed,
                                 c10::Device device) {
  options.channels = channels;
  torch::manual_seed(stream_seed(seed, "diffusion/classifier/weights"));
  DenseNet3d classifier(options);
  classifier->to(device);
  return classifier;
}

LossNetworks loss_networks(const DiffusionInputs& inputs, const DenoiserLossOptions& losses,
                           const std::vector<Case>& training, int64_t channels, int64_t seed,
                           c10::Device device) {
  LossNetworks networks;
  networks.lpips = load_lpips(inputs.lpips, losses.perceptual.weight, device);
  if (networks.lpips) networks.autoencoder = load_latent_codec(inputs.autoencoder, device);
  networks.classifier_learns = losses.classification.trained();
  if (networks.classifier_learns) {
    networks.classifier =
        new_latent_classifier(losses.classification.model, channels, seed, device);
  } else {
    networks.classifier =
        load_latent_classifier(inputs.classifier, losses.classification.weight, device);
    if (!networks.classifier) return networks;
    if (fs::exists(inputs.classifier / "latent.yaml"))
      networks.classifier_scale = load_options<LatentScale>(inputs.classifier / "latent.yaml");
  }
  networks.positive_weight = losses.classification.positive_weight > 0
                                 ? losses.classification.positive_weight
                                 : negatives_per_positive(training);
  return networks;
}

// What the encoder finds, for a frozen one; computed where it is missing.
std::optional<FrozenFeatures> frozen_features(const Dataset& dataset, const DiffusionInputs& inputs,
                                              CtpaDenoiser& model, const fs::path& folder,
                                              c10::Device device, const Processes& processes) {
  if (model->options().cxr_encoder != CxrEncoding::frozen) return std::nullopt;
  FrozenFeatures features(dataset, inputs.cxr_encoder, folder, model->needs_tokens());
  features.encode_missing(dataset, device, {processes.rank(), processes.count()});
  processes.wait_for_all();
  return features;
}

// The linear mean of each case, for a denoiser of what it leaves.
std::optional<LatentMeans> latent_means(const Dataset& dataset, const DiffusionInputs& inputs,
                                        const DiffusionOptions& options, const Latents& latents,
                                        const LatentScale& scale, const std::vector<Case>& training,
                                        int64_t seed, const fs::path& folder) {
  if (options.denoiser.mean == LatentMean::none) return std::nullopt;
  const CxrViews views = options.denoiser.views;
  if (!inputs.init.empty())
    return LatentMeans(dataset, latents, scale, views, inputs.init / "mean");
  return LatentMeans(dataset, latents, scale, views, training, options.linear_mean, seed, folder);
}

// That of the cases that have the views of a set.
GaussianPrior prior_of_set(int64_t set, const GaussianPriorOptions& options, const Latents& latents,
                           const LatentScale& scale, const std::optional<LatentMeans>& means,
                           const std::vector<Case>& training) {
  std::vector<Case> having;
  for (const auto& c : training)
    if (c.has(ViewSet(set))) having.push_back(c);
  GaussianPrior prior(options);
  prior->fit(int64_t(having.size()), [&](int64_t i) {
    const Case& c = having[size_t(i)];
    CxrCondition condition;
    if (means) {
      condition.mean = means->of(c, set).unsqueeze(0);
      condition.rest_std = means->rest_std(at::full({1}, set, at::kLong));
    }
    return condition.rest(scale.standardise(latents.batch({c})))[0];
  });
  return prior;
}

// The Gaussian models of what the denoiser makes; empty without them.
ViewPriors gaussian_priors(const DiffusionInputs& inputs, DiffusionOptions& options,
                           const Latents& latents, const LatentScale& scale,
                           const std::optional<LatentMeans>& means,
                           const std::vector<Case>& training) {
  const CxrViews views = options.denoiser.views;
  if (!inputs.init.empty()) {
    const fs::path model = inputs.init / "prior";
    if (!fs::exists(model_config_file(model))) return {};
    return ViewPriors(load_view_sets<GaussianPrior>(model, views));
  }
  if (options.prior.components == 0) return {};
  options.prior.size = {scale.channels(), scale.size[0], scale.size[1], scale.size[2]};
  std::vector<GaussianPrior> priors;
  for (int64_t set = 0; set < view_set_count(views); ++set)
    priors.push_back(prior_of_set(set, options.prior, latents, scale, means, training));
  return ViewPriors(std::move(priors));
}

// The scale of the latents; measured over the training set, but for a model to go on from.
LatentScale latent_scale(DiffusionOptions& options, const DiffusionInputs& inputs,
                         const Latents& latents, const std::vector<Case>& training) {
  if (!inputs.init.empty()) {
    const auto scale = load_options<LatentScale>(inputs.init / "latent.yaml");
    check_same_latents(scale, latents.batch({training.front()})[0], inputs);
    return scale;
  }
  if (options.latent_scale == LatentScaling::range && options.process.x0_limit == 0)
    options.process.x0_limit = 1;
  return scale_of(latents, training, options.latent_scale);
}

}  // namespace

void train_diffusion(const Dataset& dataset, DiffusionInputs inputs, const DiffusionOptions& given,
                     const RuntimeOptions& runtime, const fs::path& folder, const TrainCall& call) {
  const auto device = select_device(runtime);
  const Processes& processes = *call.processes;
  DiffusionOptions options = given;
  if (!inputs.init.empty()) take_over(inputs, options);
  require_model(inputs.autoencoder, "an autoencoder", "--vae",
                "Run x2ctpa train-vae first, convert published weights into it");
  if (!inputs.cxr_encoder.empty())
    require_model(inputs.cxr_encoder, "a CXR encoder", "--cxr-encoder",
                  "Convert published weights into it");
  check_same_data(dataset, inputs.autoencoder);
  check_process(options.process);
  if (options.refiner.kind != Refinement::none && options.denoiser.mean == LatentMean::none) {
    throw Error(
        "diffusion.refiner.kind frontal needs the means of diffusion.denoiser.mean linear: set "
        "that, or refiner.kind none");
  }
  const CxrViews views = options.denoiser.views;
  const auto training = paired(dataset.split("train"), views),
             validation = paired(dataset.split("val"), views);
  if (training.empty())
    throw Error("no training case has both a CT and an X-ray", ExitCode::no_data);
  check_views(views, training);
  if (inputs.init.empty()) complete(options, inputs, dataset.info());

  Latents latents(dataset, inputs.autoencoder, folder / "latents");
  latents.encode_missing(device, runtime, {processes.rank(), processes.count()});
  processes.wait_for_all();
  const LatentScale scale = latent_scale(options, inputs, latents, training);
  Trainee trainee = make_trainee(options, inputs, dataset.info(), scale, runtime.seed, device);
  options.denoiser = trainee.model->options();
  auto means = latent_means(dataset, inputs, options, latents, scale, training, runtime.seed,
                            folder / "mean");
  auto priors = gaussian_priors(inputs, options, latents, scale, means, training);
  if (!priors.is_empty() && inputs.init.empty()) trainee.model->start_from_zero();
  DenoisingTask task(
      options, std::move(latents), scale,
      frozen_features(dataset, inputs, trainee.model, folder, device, processes), std::move(means),
      std::move(priors), trainee.model, trainee.lora,
      loss_networks(inputs, options.losses, training, scale.channels(), runtime.seed, device),
      device);
  if (task.means() && processes.rank() == 0) {
    task.means()->save(folder / "mean");
    task.means()->keep_left_out(folder / "means", folder / "mean");
  }
  processes.wait_for_all();
  if (options.refiner.kind != Refinement::none && !call.dry_run) {
    train_refiner(dataset, *task.means(),
                  {folder / "mean", inputs.autoencoder, options.view_dropout}, options.refiner,
                  runtime, folder, call);
    processes.wait_for_all();
  }
  CaseLoader loader(dataset, "train",
                    {.batch_size = options.train.batch_size,
                     .seed = runtime.seed,
                     .pin = device.is_cuda(),
                     .rank = processes.rank(),
                     .world = processes.count()},
                    task.content());
  const int64_t batches_per_step = options.train.accumulate * processes.count();

  TrainingStage stage;
  stage.name = "train-diffusion";
  stage.module = trainee.trained.get();
  if (task.discriminator()) {
    stage.opponents.push_back({"discriminator",
                               task.discriminator().get(),
                               options.losses.adversarial.learning_rate,
                               {0.9, 0.999},
                               0,
                               [&](int64_t) { return task.discriminator_loss(); }});
  }
  if (task.learning_classifier()) {
    stage.opponents.push_back(
        {"classifier",
         task.learning_classifier().get(),
         options.losses.classification.learning_rate,
         {0.9, 0.999},
         0.01,
         [&](int64_t number) {
           torch::manual_seed(
               stream_seed(runtime.seed, fmt::format("diffusion/classifier/dropout/{}", number)));
           return task.classifier_loss();
         }});
  }
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) {
    Batch batch = loader.next();
    if (views == CxrViews::both)
      hide_views(batch, options.view_dropout, runtime.seed, "diffusion/views", number);
    return task.loss(batch, random_stream(runtime.seed, fmt::format("diffusion/step/{}", number)),
                     number / batches_per_step);
  };
  if (!validation.empty())
    stage.validate = [&]() -> Validation {
      // The same cases, noise and timesteps every time, so that the curve is comparable.
      const auto random = random_stream(runtime.seed, "diffusion/validation");
      const BatchContent content = task.content();
      double sum = 0;
      for (size_t i = 0; i < validation.size(); i += size_t(options.train.batch_size)) {
        const size_t end = std::min(validation.size(), i + size_t(options.train.batch_size));
        const std::vector<Case> cases(validation.begin() + i, validation.begin() + end);
        sum += double(cases.size()) *
               task.validation_loss(load_batch(dataset, cases, content), random);
      }
      return sum / double(validation.size());
    };
  DiffusionPreview preview(
      dataset, validation,
      [&](const at::Tensor& x_t, const at::Tensor& t, const CxrCondition& condition) {
        return task.predict(x_t, t, condition);
      },
      options.process, scale, inputs.autoencoder, runtime);
  stage.preview = [&] {
    task.apply_updates();
    return preview.pictures(
        [&](const Case& c) { return task.condition(load_batch(dataset, {c}, task.content())); });
  };
  if (!train(stage, options.train, settings_of(options, dataset, inputs, runtime.seed), folder,
             call))
    return;
  write_denoiser_model(dataset, inputs, options, trainee.model, task, folder / "model");
  publish_model(folder / "model", denoiser_card(options, dataset, folder), dataset);
}

}  // namespace x2ctpa
