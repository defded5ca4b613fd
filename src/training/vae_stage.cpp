#include <cmath>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/data/volume_picture.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

VaeOptions::VaeOptions() {
  train.betas = {0.5, 0.9};
  train.weight_decay = 0;
  // The codebook follows its own averages: averaged encoder weights would not fit it.
  train.ema_decay = 0;
}

void VaeOptions::describe(OptionList& options) {
  options.add("kind", &kind,
              "vqgan: the 3D VQ-GAN, trained by train-vae; kl: Stable Diffusion's, converted into <run>/vae/model or "
              "given as --vae.",
              {.choices = {"vqgan", "kl"}});
  options.section("model", model);
  options.section("train", train);
  options.add("l1_weight", &l1_weight, "Weight of the L1 reconstruction loss; the commitment loss has its own.", {.min = 0});
}

namespace {

/// PSNR in dB of volumes in [-1, 1], data range 2.
double psnr_db(const at::Tensor& a, const at::Tensor& b) {
  return 10 * std::log10(4.0 / (a - b).square().mean().item<double>());
}

}  // namespace

void train_vae(const Dataset& dataset, const VaeOptions& options, const RuntimeOptions& runtime,
               const std::filesystem::path& folder, const TrainCall& call) {
  const auto device = select_device(runtime);
  // Initial weights come from the global generator: seed it by name.
  torch::manual_seed(stream_seed(runtime.seed, "vae/weights"));
  Vqgan3d model(options.model);
  model->to(device);
  const Processes& processes = *call.processes;
  if (!processes.alone()) {
    model->codebook()->set_all_reduce([&](at::Tensor& x) { processes.sum(x); });
    model->codebook()->set_broadcast([&](at::Tensor& x) { processes.broadcast(x); });
  }
  LoaderOptions loading{.batch_size = options.train.batch_size, .seed = runtime.seed, .pin = device.is_cuda(),
                        .rank = processes.rank(), .world = processes.count()};
  CaseLoader loader(dataset, "train", loading, {.ct = true, .cxr = false});
  const auto held_out = dataset.split("val");

  TrainingStage stage;
  stage.name = "train-vae";
  stage.module = model.get();
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) {
    const auto batch = loader.next();
    const auto x = batch.ct.to(device);
    const auto out = model->forward(x, random_stream(runtime.seed, fmt::format("vae/step/{}", number)));
    const auto l1 = (out.reconstruction - x).abs().mean();
    StepLoss loss = options.l1_weight * l1 + out.codes.commitment_loss;
    loss.terms = {{"l1", l1}, {"commitment", out.codes.commitment_loss}, {"perplexity", out.codes.perplexity}};
    for (const auto& c : batch.cases) loss.cases.push_back(c.id);
    loss.inputs = {x};
    return loss;
  };
  stage.validate = [&] {
    at::NoGradGuard no_grad;
    double sum = 0;
    int64_t n = 0;
    for (const auto& c : held_out) {
      if (c.ct.empty()) continue;
      const auto x = dataset.load_ct(c).unsqueeze(0).to(device);
      sum += (model->forward(x).reconstruction - x).abs().mean().item<double>();
      ++n;
    }
    return n > 0 ? sum / double(n) : 0.0;
  };
  stage.preview = [&] {
    at::NoGradGuard no_grad;
    std::vector<Picture> pictures;
    for (const auto& c : held_out) {
      if (c.ct.empty()) continue;
      const auto x = dataset.load_ct(c);
      const auto made = model->forward(x.unsqueeze(0).to(device)).reconstruction.squeeze(0);
      pictures.push_back({c.id, volume_picture(dataset.info(), {x, made})});
      if (pictures.size() == 2) break;
    }
    return pictures;
  };
  const std::string settings = options_to_yaml(options) + "dataset: " + dataset.info().hash + "\nseed: " +
                               std::to_string(runtime.seed) + "\n";
  if (!train(stage, options.train, settings, folder, call)) return;
  save_module(folder / "model", *model, options_to_yaml(options.model));
  write_file(folder / "model" / "dataset.yaml", options_to_yaml(dataset.info()));

  at::NoGradGuard no_grad;
  CsvTable table({"case_id", "psnr_db"});
  double sum = 0;
  for (const auto& c : dataset.split("test")) {
    if (c.ct.empty()) continue;
    const auto x = dataset.load_ct(c).unsqueeze(0).to(device);
    const double psnr = psnr_db(model->forward(x).reconstruction, x);
    sum += psnr;
    table.add({c.id, fmt::format("{:.4f}", psnr)});
  }
  table.write(folder / "reconstruction.csv");
  if (table.size() > 0) {
    log_info("train-vae: reconstruction of {} test cases: mean PSNR {:.2f} dB (data range {} HU)", table.size(),
             sum / double(table.size()), dataset.info().window.max_hu - dataset.info().window.min_hu);
  }
}

}  // namespace x2ctpa
