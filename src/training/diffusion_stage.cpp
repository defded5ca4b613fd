#include "diffusion_preview.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/memory.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/models/cxr_novelty.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/training/latents.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {
namespace fs = std::filesystem;

DiffusionOptions::DiffusionOptions() {
  train.batch_size = 10;
  train.learning_rate = 1e-4;
}

void DiffusionOptions::describe(OptionList& options) {
  options.section("denoiser", denoiser);
  options.section("process", process);
  options.section("train", train);
  options.add("loss", &loss, "Loss between prediction and target.", {.choices = {"l1", "mse"}});
  options.add("condition_dropout", &condition_dropout, "Share of cases trained without their X-ray, for guidance.",
              {.min = 0, .max = 1});
  options.add("label_dropout", &label_dropout, "With label guidance: share of cases trained with an unknown label.",
              {.min = 0, .max = 1});
  options.add("latent_scale", &latent_scale,
              "standard: each latent channel to mean 0 and deviation 1 over the training set; range: smallest and largest "
              "value to -1 and 1, as published.",
              {.choices = {"standard", "range"}});
}

namespace {

/// What a frozen encoder finds in every X-ray, computed once and kept on the disk: embeddings, or
/// all tokens.
class FrozenEmbeddings {
 public:
  FrozenEmbeddings(const Dataset& dataset, const fs::path& model, const fs::path& folder, bool tokens, torch::Device device,
                   const Processes& processes)
      : cache_(folder / "embeddings",
               sha256_of_file(model_weights_file(model)) + dataset.info().hash + (tokens ? "tokens" : "embedding")) {
    const Shard share{processes.rank(), processes.count()};
    std::vector<Case> cases, missing;
    for (const auto& c : dataset.cases()) {
      if (c.cxr.empty() || c.split == "test") continue;
      if (share.owns(int64_t(cases.size())) && !cache_.has(c)) missing.push_back(c);
      cases.push_back(c);
    }
    if (cases.empty()) throw Error("no training case has an X-ray", ExitCode::no_data);
    if (!missing.empty()) encode(dataset, model, missing, tokens, device);
    processes.wait_for_all();
    width_ = cache_.get(cases.front()).size(-1);
  }

  int64_t width() const { return width_; }

  at::Tensor batch(const std::vector<Case>& cases) const {
    std::vector<at::Tensor> rows;
    for (const auto& c : cases) rows.push_back(cache_.get(c));
    return at::stack(rows);
  }

 private:
  void encode(const Dataset& dataset, const fs::path& model, const std::vector<Case>& cases, bool tokens, torch::Device device) {
    VisionTransformer encoder(load_options<VisionTransformerOptions>(model_config_file(model)));
    load_module(model, *encoder);
    encoder->to(device);
    encoder->eval();
    at::NoGradGuard no_grad;
    Progress progress("encoding X-rays", int64_t(cases.size()));
    for (const auto& c : cases) {
      stop_if_interrupted();
      const auto cxr = dataset.load_cxr(c).unsqueeze(0).to(device);
      cache_.put(c, (tokens ? encoder->tokens(cxr) : encoder->embed(cxr)).squeeze(0));
      progress.advance();
    }
  }

  LatentCache cache_;
  int64_t width_ = 0;
};

LatentScale scale_of(const Latents& latents, const std::vector<Case>& training, const std::string& kind) {
  LatentStatistics statistics;
  for (const auto& c : training) {
    const auto latent = latents.batch({c});
    if (!at::isfinite(latent).all().item<bool>()) {
      throw Error(fmt::format("case {}: its latent holds values that are not finite. Look at its volume; then delete {}/{}.safetensors, "
                              "and it is encoded anew.", c.id, latents.folder().string(), c.id));
    }
    statistics.add(latent);
  }
  return kind == "range" ? statistics.range() : statistics.standard();
}

std::vector<Case> paired(const std::vector<Case>& cases) {
  std::vector<Case> out;
  for (const auto& c : cases) {
    if (!c.ct.empty() && !c.cxr.empty()) out.push_back(c);
  }
  return out;
}

void check_same_data(const Dataset& dataset, const fs::path& vae_model) {
  // A published autoencoder was trained on other data; any grid that its factors divide will do.
  if (!fs::exists(vae_model / "dataset.yaml")) return;
  const auto trained = load_options<DatasetInfo>(vae_model / "dataset.yaml");
  const auto& info = dataset.info();
  if (trained.grid_dhw != info.grid_dhw || !(trained.window == info.window)) {
    throw Error(fmt::format("the autoencoder in {} was trained on a grid of {}x{}x{} and a window of {}..{} HU; the dataset has "
                            "{}x{}x{} and {}..{} HU. Train it on this dataset, or preprocess with its grid and window.",
                            vae_model.string(), trained.grid_dhw[0], trained.grid_dhw[1], trained.grid_dhw[2],
                            trained.window.min_hu, trained.window.max_hu, info.grid_dhw[0], info.grid_dhw[1],
                            info.grid_dhw[2], info.window.min_hu, info.window.max_hu));
  }
}

/// What the denoiser learns: the loss of a batch of cases.
class DenoisingTask {
 public:
  DenoisingTask(const DiffusionOptions& options, Latents latents, LatentScale scale,
                std::optional<FrozenEmbeddings> embeddings, CtpaDenoiser model, torch::Device device)
      : loss_(options.loss),
        condition_dropout_(options.condition_dropout),
        label_guidance_(options.denoiser.label_guidance),
        label_dropout_(options.label_dropout),
        schedule_(options.process.schedule),
        prediction_(prediction_from(options.process.prediction)),
        latents_(std::move(latents)),
        scale_(std::move(scale)),
        embeddings_(std::move(embeddings)),
        model_(std::move(model)),
        device_(device) {}

  /// What a batch must carry; volumes stay on the disk, their latents serve.
  BatchContent content() const {
    BatchContent content{.ct = false, .cxr = !embeddings_, .paired = true};
    content.more["latent"] = [this](const Case& c) { return latents_.batch({c}).squeeze(0); };
    if (embeddings_) content.more["embedding"] = [this](const Case& c) { return embeddings_->batch({c}).squeeze(0); };
    return content;
  }

  /// What the encoder makes of a case's X-ray: (1, E), or (1, tokens, E).
  at::Tensor cxr_embedding(const Dataset& dataset, const Case& c) {
    return embeddings_ ? embeddings_->batch({c}) : model_->embed(dataset.load_cxr(c).unsqueeze(0).to(device_));
  }

  CxrCondition condition(const Batch& batch, const at::Tensor& labels = {}) {
    if (!embeddings_) return model_->condition(batch.cxr.to(device_), labels);
    const auto found = batch.more.at("embedding").to(device_);
    return model_->frozen_condition({found, found}, labels);
  }

  /// `train`: X-rays and labels are hidden as often as the options say.
  at::Tensor loss(const Batch& batch, at::Generator random, bool train) {
    const auto x0 = scale_.standardise(batch.more.at("latent").to(device_));
    const int64_t n = x0.size(0);
    const auto t = at::randint(schedule_.timesteps(), {n}, random, at::kLong).to(device_);
    const auto eps = at::randn(x0.sizes(), random, at::TensorOptions(at::kFloat)).to(device_);
    const auto drop = (at::rand({n}, random, at::TensorOptions(at::kFloat)) < (train ? condition_dropout_ : 0)).to(device_);
    const auto x_t = q_sample(schedule_, x0, t, eps);
    const auto labels = label_guidance_ ? labels_of(batch, random, train ? label_dropout_ : 0) : at::Tensor();
    const auto out = model_->forward(x_t, t, condition(batch, labels), drop);
    return prediction_loss(loss_, out, prediction_target(schedule_, prediction_, x0, t, eps)).mean();
  }

 private:
  /// (B): 0 or 1, or 2 where the label is not known or hidden.
  at::Tensor labels_of(const Batch& batch, at::Generator random, double dropout) const {
    const auto hidden = at::rand(batch.pe.sizes(), random, at::TensorOptions(at::kFloat)) < dropout;
    return batch.pe.masked_fill(hidden.logical_or(batch.pe < 0), double(label_unknown)).to(device_);
  }

  std::string loss_;
  double condition_dropout_;
  bool label_guidance_;
  double label_dropout_;
  NoiseSchedule schedule_;
  Prediction prediction_;
  Latents latents_;
  LatentScale scale_;
  std::optional<FrozenEmbeddings> embeddings_;
  CtpaDenoiser model_;
  torch::Device device_;
};

void require_model(const fs::path& folder, const std::string& what, const std::string& flag, const std::string& remedy) {
  if (fs::exists(model_config_file(folder)) && fs::exists(model_weights_file(folder))) return;
  throw Error(fmt::format("expected {} in {}, found no model folder. {} (docs/weights.md), or give {}.", what, folder.string(), remedy, flag));
}

/// Everything that a checkpoint depends on.
std::string settings_of(const DiffusionOptions& options, const Dataset& dataset, const fs::path& vae_model,
                        const fs::path& cxr_encoder, int64_t seed) {
  std::string text = options_to_yaml(options);
  text += "dataset: " + dataset.info().hash + "\n";
  text += "autoencoder: " + sha256_of_file(model_weights_file(vae_model)) + "\n";
  if (!cxr_encoder.empty()) text += "cxr_encoder: " + sha256_of_file(model_weights_file(cxr_encoder)) + "\n";
  text += "seed: " + std::to_string(seed) + "\n";
  return text;
}

/// Copies the two files of the model folder `from`.
void copy_model(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const auto& file : {model_config_file(from), model_weights_file(from)}) {
    fs::copy_file(file, to / file.filename(), fs::copy_options::overwrite_existing);
  }
}

/// What tells sampling that an X-ray is unlike the training set. `found`: (1, E) or (1, tokens, E)
/// of one case, as sampling will find it.
void write_novelty(const Dataset& dataset, const std::vector<Case>& training,
                   const std::function<at::Tensor(const Case&)>& found, const fs::path& model) {
  if (training.size() < 2) return;
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> thumbnails, embeddings;
  for (const auto& c : training) {
    thumbnails.push_back(CxrNovelty::thumbnails(dataset.load_cxr(c).unsqueeze(0)));
    const auto row = found(c).to(at::kCPU, at::kFloat);
    embeddings.push_back(row.dim() == 3 ? row.mean(1) : row);
  }
  CxrNovelty(at::cat(thumbnails), at::cat(embeddings)).save(model);
}

}  // namespace

void train_diffusion(const Dataset& dataset, const fs::path& vae_model, const fs::path& cxr_encoder,
                     const DiffusionOptions& given, const RuntimeOptions& runtime, const fs::path& folder,
                     const TrainCall& call) {
  const auto device = select_device(runtime);
  require_model(vae_model, "an autoencoder", "--vae", "Run x2ctpa train-vae first, convert published weights into it");
  if (!cxr_encoder.empty()) require_model(cxr_encoder, "a CXR encoder", "--cxr-encoder", "Convert published weights into it");
  check_same_data(dataset, vae_model);
  const auto training = paired(dataset.split("train"));
  const auto validation = paired(dataset.split("val"));
  if (training.empty()) throw Error("no training case has both a CT and an X-ray", ExitCode::no_data);

  DiffusionOptions options = given;
  options.denoiser.encoder.mean = dataset.info().cxr_mean;
  options.denoiser.encoder.std = dataset.info().cxr_std;
  const bool finetuned = !cxr_encoder.empty() && given.denoiser.cxr_encoder == "finetuned";
  options.denoiser.cxr_encoder = cxr_encoder.empty() ? "trained" : finetuned ? "finetuned" : "frozen";
  std::optional<FrozenEmbeddings> embeddings;
  if (finetuned) {
    const auto& transformer = options.denoiser.transformer = load_options<VisionTransformerOptions>(model_config_file(cxr_encoder));
    options.denoiser.encoder.embedding_dim = transformer.output_dim > 0 ? transformer.output_dim : transformer.width;
  } else if (!cxr_encoder.empty()) {
    embeddings.emplace(dataset, cxr_encoder, folder, options.denoiser.unet.cond_tokens > 0, device, *call.processes);
    options.denoiser.encoder.embedding_dim = embeddings->width();
    options.denoiser.spatial_condition = false;
  }
  Latents latents(dataset, vae_model, folder / "latents");
  const Processes& processes = *call.processes;
  latents.encode_missing(device, runtime, {processes.rank(), processes.count()});
  processes.wait_for_all();
  const LatentScale scale = scale_of(latents, training, options.latent_scale);
  if (options.latent_scale == "range" && options.process.x0_limit == 0) options.process.x0_limit = 1;

  torch::manual_seed(stream_seed(runtime.seed, "diffusion/weights"));
  const std::array<int64_t, 3> size{scale.size[0], scale.size[1], scale.size[2]};
  const auto& projection = dataset.info().geometry;
  const BackProjectionGeometry beam{projection.source_to_detector_mm, projection.source_to_centre_mm, projection.detector_mm,
                                    dataset.info().typical_spacing_at_mm(scale.size)};
  CtpaDenoiser model(options.denoiser, scale.channels(), size, beam);
  if (finetuned) load_module(cxr_encoder, *model->transformer());
  model->to(device);
  DenoisingTask task(options, std::move(latents), scale, std::move(embeddings), model, device);
  CaseLoader loader(dataset, "train", {.batch_size = options.train.batch_size, .seed = runtime.seed, .pin = device.is_cuda(), .rank = processes.rank(),
                     .world = processes.count()},
                    task.content());

  TrainingStage stage;
  stage.name = "train-diffusion";
  stage.module = model.get();
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) {
    const auto batch = loader.next();
    StepLoss loss = task.loss(batch, random_stream(runtime.seed, fmt::format("diffusion/step/{}", number)), true);
    for (const auto& c : batch.cases) loss.cases.push_back(c.id);
    loss.inputs = {batch.more.at("latent")};
    return loss;
  };
  stage.validate = [&] {
    if (validation.empty()) return 0.0;
    // The same cases, noise and timesteps every time, so that the curve is comparable.
    at::NoGradGuard no_grad;
    return task.loss(load_batch(dataset, validation, task.content()),
                     random_stream(runtime.seed, "diffusion/validation"), false).item<double>();
  };
  DiffusionPreview preview(dataset, validation, model, options.process, scale, vae_model, runtime);
  stage.preview = [&] {
    return preview.pictures([&](const Case& c) { return task.condition(load_batch(dataset, {c}, task.content())); });
  };
  if (!train(stage, options.train, settings_of(options, dataset, vae_model, cxr_encoder, runtime.seed), folder, call)) return;

  const fs::path out = folder / "model";
  copy_model(vae_model, out / "autoencoder");
  if (options.denoiser.cxr_encoder == "frozen") copy_model(cxr_encoder, out / "cxr_encoder");
  write_novelty(dataset, training, [&](const Case& c) { return task.cxr_embedding(dataset, c); }, out);
  write_file(out / "dataset.yaml", options_to_yaml(dataset.info()));
  write_file(out / "diffusion.yaml", options_to_yaml(options.process));
  write_file(out / "latent.yaml", options_to_yaml(scale));
  save_module(out, *model, options_to_yaml(options.denoiser));
}

}  // namespace x2ctpa
