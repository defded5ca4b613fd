#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/models/latent_scale.h"
#include "x2ctpa/models/model_folder.h"
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
}

namespace {

/// Latents of every case that has a CT, encoded once and kept on the disk.
class Latents {
 public:
  Latents(const Dataset& dataset, const fs::path& vae_model, const fs::path& folder, torch::Device device)
      : cache_(folder / "latents", sha256_of_file(model_weights_file(vae_model)) + dataset.info().hash) {
    Vqgan3d vae(load_options<Vqgan3dOptions>(model_config_file(vae_model)));
    load_module(vae_model, *vae);
    vae->to(device);
    vae->eval();
    at::NoGradGuard no_grad;
    std::vector<Case> missing;
    for (const auto& c : dataset.cases()) {
      if (!c.ct.empty() && c.split != "test" && !cache_.has(c)) missing.push_back(c);
    }
    Progress progress("encoding latents", int64_t(missing.size()));
    for (const auto& c : missing) {
      stop_if_interrupted();
      cache_.put(c, vae->encode(dataset.load_ct(c).unsqueeze(0).to(device)).squeeze(0));
      progress.advance();
    }
  }

  at::Tensor batch(const std::vector<Case>& cases) const {
    std::vector<at::Tensor> latents;
    for (const auto& c : cases) latents.push_back(cache_.get(c));
    return at::stack(latents);
  }

 private:
  LatentCache cache_;
};

std::vector<Case> paired(const std::vector<Case>& cases) {
  std::vector<Case> out;
  for (const auto& c : cases) {
    if (!c.ct.empty() && !c.cxr.empty()) out.push_back(c);
  }
  return out;
}

void check_same_data(const Dataset& dataset, const fs::path& vae_model) {
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

}  // namespace

void train_diffusion(const Dataset& dataset, const fs::path& vae_model, const DiffusionOptions& given,
                     const RuntimeOptions& runtime, const fs::path& folder, bool force) {
  const auto device = select_device(runtime);
  check_same_data(dataset, vae_model);
  DiffusionOptions options = given;
  options.denoiser.encoder.mean = dataset.info().cxr_mean;
  options.denoiser.encoder.std = dataset.info().cxr_std;
  const Latents latents(dataset, vae_model, folder, device);
  const auto training = paired(dataset.split("train"));
  if (training.empty()) throw Error("no training case has both a CT and an X-ray", ExitCode::no_data);
  const LatentScale scale = measure_latent_scale(latents.batch(training));
  const NoiseSchedule schedule(options.process.schedule);
  const Prediction prediction = prediction_from(options.process.prediction);

  torch::manual_seed(stream_seed(runtime.seed, "diffusion/weights"));
  CtpaDenoiser model(options.denoiser, scale.channels(),
                     std::array<int64_t, 3>{scale.size[0], scale.size[1], scale.size[2]},
                     BackProjectionGeometry{dataset.info().geometry.source_to_detector_mm,
                                            dataset.info().geometry.source_to_centre_mm, dataset.info().geometry.detector_mm,
                                            dataset.info().typical_spacing_at_mm(scale.size)});
  model->to(device);
  LoaderOptions loading{.batch_size = options.train.batch_size, .seed = runtime.seed};
  CaseLoader loader(dataset, "train", loading, {.ct = true, .cxr = true});

  const auto loss_of = [&](const Batch& batch, at::Generator random, double dropout) {
    const auto x0 = scale.standardise(latents.batch(batch.cases)).to(device);
    const int64_t n = x0.size(0);
    const auto t = at::randint(schedule.timesteps(), {n}, random, at::kLong).to(device);
    const auto eps = at::randn(x0.sizes(), random, at::TensorOptions(at::kFloat)).to(device);
    const auto drop = (at::rand({n}, random, at::TensorOptions(at::kFloat)) < dropout).to(device);
    const auto x_t = q_sample(schedule, x0, t, eps);
    const auto out = model->forward(x_t, t, model->condition(batch.cxr.to(device)), drop);
    return prediction_loss(options.loss, out, prediction_target(schedule, prediction, x0, t, eps));
  };

  TrainingStage stage;
  stage.name = "train-diffusion";
  stage.module = model.get();
  stage.start_at = [&](int64_t step) { loader.restore({step}); };
  stage.loss = [&](int64_t step) {
    return loss_of(loader.next(), random_stream(runtime.seed, fmt::format("diffusion/step/{}", step)),
                   options.condition_dropout);
  };
  stage.validate = [&] {
    // The same cases, noise and timesteps every time, so that the curve is comparable.
    at::NoGradGuard no_grad;
    const auto cases = paired(dataset.split("val"));
    if (cases.empty()) return 0.0;
    return loss_of(load_batch(dataset, cases, {.ct = false, .cxr = true}),
                   random_stream(runtime.seed, "diffusion/validation"), 0).item<double>();
  };
  const std::string settings = options_to_yaml(options) + "dataset: " + dataset.info().hash + "\nautoencoder: " +
                               sha256_of_file(model_weights_file(vae_model)) + "\nseed: " + std::to_string(runtime.seed) + "\n";
  train(stage, options.train, settings, folder, force);

  const fs::path out = folder / "model";
  fs::create_directories(out);
  fs::copy(vae_model, out / "autoencoder", fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  write_file(out / "dataset.yaml", options_to_yaml(dataset.info()));
  write_file(out / "diffusion.yaml", options_to_yaml(options.process));
  write_file(out / "latent.yaml", options_to_yaml(scale));
  save_module(out, *model, options_to_yaml(options.denoiser));
}

}  // namespace x2ctpa
