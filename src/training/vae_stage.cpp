#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "training/autoencoder_task.h"
#include "training/loss_networks.h"
#include "training/model_card.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/data/volume_picture.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {
namespace {

// Blocks of voxels are many: some volumes tell their statistics.
constexpr int64_t volumes_to_start_from = 256;

// PSNR in dB of volumes in [-1, 1], data range 2.
double psnr_db(const at::Tensor& a, const at::Tensor& b) {
  return 10 * std::log10(4.0 / (a - b).square().mean().item<double>());
}

std::vector<Case> with_volume(const std::vector<Case>& cases) {
  std::vector<Case> out;
  for (const auto& c : cases) {
    if (!c.ct.empty()) out.push_back(c);
  }
  return out;
}

// PSNR of every test case in `folder`/reconstruction.csv.
void write_reconstruction(const Dataset& dataset, TrainedAutoencoder& autoencoder,
                          const std::filesystem::path& folder) {
  at::NoGradGuard no_grad;
  CsvTable table({"case_id", "psnr_db"});
  double sum = 0;
  for (const auto& c : with_volume(dataset.split("test"))) {
    const auto x = dataset.load_ct(c);
    const double psnr = psnr_db(autoencoder.reconstruction(x), x);
    sum += psnr;
    table.add({c.id, fmt::format("{:.4f}", psnr)});
  }
  table.write(folder / "reconstruction.csv");
  if (table.size() == 0) return;
  log_info("train-vae: reconstruction of {}: mean PSNR {:.2f} dB (data range {} HU)",
           counted(int64_t(table.size()), "test case"), sum / double(table.size()),
           dataset.info().window.max_hu - dataset.info().window.min_hu);
}

// Of the model whose reconstructions `folder` has; empty without them.
std::string identity_of(const std::filesystem::path& folder) {
  const auto weights = model_weights_file(folder / "model"),
             data = folder / "model" / "dataset.yaml";
  for (const auto& file : {weights, data, folder / "reconstruction.csv"}) {
    if (!std::filesystem::exists(file)) return {};
  }
  return sha256_of_file(weights) + read_file(data);
}

ModelCard vae_card(const VaeOptions& options, const Dataset& dataset,
                   const std::filesystem::path& folder) {
  const IntensityWindow& window = dataset.info().window;
  const bool vqgan = options.kind == AutoencoderKind::vqgan;
  return {.title = vqgan ? "3D VQ-GAN of chest CT" : "Convolutional autoencoder of chest CT",
          .what = "An autoencoder: a CT volume becomes a small latent, and a latent a volume.",
          .task = "image-feature-extraction",
          .tags = {"autoencoder", vqgan ? "vq-gan" : "convolutional"},
          .command = "train-vae",
          .recipe = options_to_yaml(options),
          .limits = {fmt::format("Values outside {} to {} {} cannot come back.", window.min_hu,
                                 window.max_hu, dataset.info().unit)},
          .trainings = {folder}};
}

}  // namespace

void train_vae(const Dataset& dataset, const std::filesystem::path& lpips,
               const VaeOptions& options, const RuntimeOptions& runtime,
               const std::filesystem::path& folder, const TrainCall& call) {
  check_trainable(options);
  const Processes& processes = *call.processes;
  const auto device = select_device(runtime);
  LoaderOptions loading{.batch_size = options.train.batch_size,
                        .seed = runtime.seed,
                        .pin = device.is_cuda(),
                        .rank = processes.rank(),
                        .world = processes.count()};
  CaseLoader loader(dataset, "train", loading, {.ct = true, .cxr = false});
  const double perceptual = options.loss.perceptual_weight;
  AutoencoderTask task(options, dataset.info().window, load_lpips(lpips, perceptual, device),
                       runtime, loader.batches_per_epoch(), processes);
  TrainedAutoencoder& autoencoder = task.autoencoder();
  const auto held_out = with_volume(dataset.split("val")),
             training = with_volume(dataset.split("train"));

  TrainingStage stage;
  stage.name = "train-vae";
  stage.module = &autoencoder.module();
  stage.first_weights = [&] {
    autoencoder.start_from(std::min<int64_t>(int64_t(training.size()), volumes_to_start_from),
                           [&](int64_t i) { return dataset.load_ct(training[size_t(i)]); });
  };
  if (task.discriminators()) {
    stage.opponents.push_back({"discriminator", task.discriminators().get(),
                               options.loss.discriminator_learning_rate, options.train.betas, 0,
                               [&](int64_t) { return task.discriminator_loss(); }});
  }
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) { return task.loss(loader.next(), number); };
  if (!held_out.empty())
    stage.validate = [&]() -> Validation {
      at::NoGradGuard no_grad;
      double l1 = 0, psnr = 0;
      for (const auto& c : held_out) {
        const auto x = dataset.load_ct(c), made = autoencoder.reconstruction(x);
        l1 += reconstruction_loss(made, x).item<double>() / double(held_out.size());
        psnr += psnr_db(made, x) / double(held_out.size());
      }
      Validation found(l1);
      found.terms.emplace_back("psnr_db", psnr);
      return found;
    };
  stage.preview = [&] {
    at::NoGradGuard no_grad;
    std::vector<Picture> pictures;
    for (size_t i = 0; i < std::min<size_t>(2, held_out.size()); ++i) {
      const auto x = dataset.load_ct(held_out[i]);
      pictures.push_back(
          {held_out[i].id, volume_picture(dataset.info(), {x, autoencoder.reconstruction(x)})});
    }
    return pictures;
  };
  std::string settings = options_to_yaml(options) + "dataset: " + dataset.info().hash +
                         "\nseed: " + std::to_string(runtime.seed) + "\n";
  if (!lpips.empty() && perceptual > 0)
    settings += "lpips: " + sha256_of_file(model_weights_file(lpips)) + "\n";
  if (!train(stage, options.train, settings, folder, call)) return;
  const std::string before = identity_of(folder);
  withdraw_model(folder / "model");
  autoencoder.save(folder / "model");
  write_file(folder / "model" / "dataset.yaml", options_to_yaml(dataset.info()));
  publish_model(folder / "model", vae_card(options, dataset, folder), dataset);
  // A training that was finished before has told it already.
  if (before.empty() || before != identity_of(folder))
    write_reconstruction(dataset, autoencoder, folder);
}

}  // namespace x2ctpa
