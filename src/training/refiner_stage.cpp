#include "training/refiner_stage.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "training/contrast_range.h"
#include "training/diffusion_inputs.h"
#include "training/view_dropout.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/memory.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/latent_cache.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/data/volume_picture.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/view_models.h"
#include "x2ctpa/training/losses.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

// The decoded mean of every training and validation case, on the disk.
class CoarseVolumes {
 public:
  CoarseVolumes(const Dataset& dataset, const LatentMeans& means, const RefinerInputs& inputs,
                const fs::path& folder)
      : dataset_(dataset),
        means_(means),
        autoencoder_(inputs.autoencoder),
        cache_(folder, "coarse " + hash_of_view_sets(inputs.mean) +
                           sha256_of_file(model_weights_file(inputs.autoencoder)) +
                           dataset.info().hash) {}

  void decode_missing(const RuntimeOptions& runtime, c10::Device device, const Shard& shard) {
    at::NoGradGuard no_grad;
    std::vector<Case> missing;
    for (const char* split : {"train", "val"}) {
      for (const auto& c : paired(dataset_.split(split), means_.views()))
        if (!cache_.has(c)) missing.push_back(c);
    }
    if (missing.empty()) return;
    const auto codec = load_latent_codec(autoencoder_, device);
    Progress progress("decoding means", int64_t(missing.size()));
    for (size_t i = size_t(shard.index); i < missing.size(); i += size_t(shard.count)) {
      stop_if_interrupted();
      std::vector<at::Tensor> volumes;
      for (int64_t set = 0; set < view_set_count(means_.views()); ++set) {
        const Case& c = missing[i];
        if (!c.has(ViewSet(set))) {
          volumes.emplace_back();
          continue;
        }
        const auto latent = means_.scale().restore(means_.of(c, set).unsqueeze(0)).to(device);
        const auto plan = codec->plan_decode(latent.sizes(), memory_budget(runtime, device));
        volumes.push_back(codec->decode(latent, plan)[0].to(at::kCPU, at::kHalf));
      }
      cache_.put(missing[i], of_all_sets(std::move(volumes)));
      progress.advance();
    }
  }

  // (1, D, H, W), or (view_sets, 1, D, H, W) for two views.
  at::Tensor of(const Case& c) const { return cache_.get(c).to(at::kFloat); }

 private:
  // Zero for sets that the case has not.
  at::Tensor of_all_sets(std::vector<at::Tensor> volumes) const {
    if (means_.views() == CxrViews::frontal) return volumes[0];
    const auto any = *std::find_if(volumes.begin(), volumes.end(),
                                   [](const at::Tensor& v) { return v.defined(); });
    for (auto& volume : volumes)
      if (!volume.defined()) volume = at::zeros_like(any);
    return at::stack(volumes);
  }

  Dataset dataset_;
  const LatentMeans& means_;
  fs::path autoencoder_;
  LatentCache cache_;
};

// The coarse volumes of the views that a batch shows, (B, 1, D, H, W).
at::Tensor coarse_of(const Batch& batch, CxrViews views) {
  const auto& coarse = batch.more.at("coarse");
  return views == CxrViews::both ? of_view_sets(coarse, view_sets_of(batch.cxr)) : coarse;
}

// Squared error over the whole window and within that of the contrast.
StepLoss refiner_loss(const RefinerOptions& options, const ContrastRange& range,
                      const at::Tensor& made, const at::Tensor& truth) {
  const auto squared = squared_loss(made, truth);
  StepLoss loss(squared);
  loss.terms.emplace_back("squared", squared.detach());
  if (options.contrast_weight == 0) return loss;
  const auto contrast = squared_loss(range.of(made), range.of(truth));
  loss.total = loss.total + options.contrast_weight * contrast;
  loss.terms.emplace_back("contrast", contrast.detach());
  return loss;
}

VolumeRefiner make_refiner(const RefinerOptions& options, const DatasetInfo& info, CxrViews views,
                           int64_t seed) {
  torch::manual_seed(stream_seed(seed, "refiner/weights"));
  VolumeRefinerOptions model = options.model;
  model.cxr_mean = info.cxr_mean;
  model.cxr_std = info.cxr_std;
  if (views == CxrViews::both) {
    model.views = views;
    model.lateral_mean = info.lateral_mean;
    model.lateral_std = info.lateral_std;
  }
  const std::vector<int64_t> grid(info.grid_dhw.begin(), info.grid_dhw.end());
  return VolumeRefiner(model, info.grid_dhw,
                       ViewBeams(views, info.geometry, info.lateral_source_to_centre_mm,
                                 info.typical_spacing_at_mm(grid)));
}

}  // namespace

RefinerOptions::RefinerOptions() {
  train.batch_size = 4;
  train.learning_rate = 1e-3;
  train.betas = {0.9, 0.99};
}

void RefinerOptions::describe(OptionList& options) {
  options.add("kind", &kind,
              "frontal: a small network goes over decoded volumes and moves their edges to where "
              "the X-ray shows them; train-diffusion trains it first, on decoded means "
              "(denoiser.mean linear). none: volumes are as decoded.");
  options.section("model", model);
  options.section("train", train);
  options.add("contrast_weight", &contrast_weight,
              "Weight of the squared error of values clipped to contrast_window_hu, beside that "
              "over the whole window.",
              {.min = 0});
  options.add("contrast_window_hu", &contrast_window_hu, "The window of that error, in HU.",
              {.count = 2});
}

void train_refiner(const Dataset& dataset, const LatentMeans& means, const RefinerInputs& inputs,
                   const RefinerOptions& options, const RuntimeOptions& runtime,
                   const fs::path& diffusion, const TrainCall& call) {
  const Processes& processes = *call.processes;
  const auto device = select_device(runtime);
  const auto& info = dataset.info();
  const ContrastRange range = contrast_range(options.contrast_weight, options.contrast_window_hu,
                                             info.window, "diffusion.refiner");
  CoarseVolumes coarse(dataset, means, inputs, diffusion / "coarse");
  coarse.decode_missing(runtime, device, {processes.rank(), processes.count()});
  processes.wait_for_all();
  const CxrViews views = means.views();
  VolumeRefiner refiner = make_refiner(options, info, views, runtime.seed);
  refiner->to(device);
  BatchContent content{.ct = true, .cxr = true, .paired = true, .views = views};
  content.more["coarse"] = [&](const Case& c) { return coarse.of(c); };
  CaseLoader loader(dataset, "train",
                    {.batch_size = options.train.batch_size,
                     .seed = runtime.seed,
                     .pin = device.is_cuda(),
                     .rank = processes.rank(),
                     .world = processes.count()},
                    content);
  const auto refined = [&](const Batch& batch) {
    return refiner->forward(coarse_of(batch, views).to(device), batch.cxr.to(device));
  };
  const auto validation = paired(dataset.split("val"), views);

  TrainingStage stage;
  stage.name = "train-diffusion, refiner";
  stage.module = refiner.ptr().get();
  stage.start_at = [&](int64_t count) { loader.restore({count}); };
  stage.waited = [&] { return loader.waited_seconds(); };
  stage.loss = [&](int64_t number) {
    Batch batch = loader.next();
    if (views == CxrViews::both)
      hide_views(batch, inputs.view_dropout, runtime.seed, "refiner/views", number);
    StepLoss found = refiner_loss(options, range, refined(batch), batch.ct.to(device));
    for (const auto& c : batch.cases) found.cases.push_back(c.id);
    found.inputs = {batch.ct};
    return found;
  };
  if (!validation.empty())
    stage.validate = [&]() -> Validation {
      at::NoGradGuard no_grad;
      double sum = 0;
      for (const auto& c : validation) {
        const Batch batch = load_batch(dataset, {c}, content);
        sum +=
            refiner_loss(options, range, refined(batch), batch.ct.to(device)).total.item<double>();
      }
      return sum / double(validation.size());
    };
  stage.preview = [&] {
    at::NoGradGuard no_grad;
    std::vector<Picture> pictures;
    for (size_t i = 0; i < std::min<size_t>(2, validation.size()); ++i) {
      const Batch batch = load_batch(dataset, {validation[i]}, content);
      pictures.push_back(
          {validation[i].id, volume_picture(info, {batch.ct[0], coarse_of(batch, views)[0],
                                                   refined(batch)[0].to(at::kCPU)})});
    }
    return pictures;
  };
  const std::string settings =
      options_to_yaml(options) + "dataset: " + info.hash +
      "\nmean: " + hash_of_view_sets(inputs.mean) +
      (views == CxrViews::both ? fmt::format("\nview_dropout: {}", inputs.view_dropout) : "") +
      "\nautoencoder: " + sha256_of_file(model_weights_file(inputs.autoencoder)) +
      "\nseed: " + std::to_string(runtime.seed) + "\n";
  if (!train(stage, options.train, settings, diffusion / "refiner", call)) return;
  save_module(diffusion / "refiner" / "model", *refiner, options_to_yaml(refiner->options()));
}

}  // namespace x2ctpa
