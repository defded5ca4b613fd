#include "x2ctpa/inference/ctpa_generator.h"

#include <ATen/DeviceAccelerator.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/memory.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/diffusion/guidance.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

void require(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(
        fmt::format("the model folder {} does not exist; train one with x2ctpa train-diffusion, or "
                    "give --model",
                    folder.string()),
        ExitCode::no_data);
  }
  for (const char* name :
       {"config.yaml", "model.safetensors", "dataset.yaml", "diffusion.yaml", "latent.yaml",
        "autoencoder/config.yaml", "autoencoder/model.safetensors"}) {
    if (!fs::exists(folder / name))
      throw Error(fmt::format("the model folder {} lacks {}: it is not a whole diffusion model",
                              folder.string(), name));
  }
}

// Seconds of a clock that the work of a GPU is counted by, too.
double seconds_now(c10::Device device) {
  if (!device.is_cpu())
    at::accelerator::synchronizeDevice(device.has_index() ? device.index()
                                                          : at::accelerator::getDeviceIndex());
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

CtpaGenerator::CtpaGenerator(const fs::path& model, const RuntimeOptions& runtime, std::string hash)
    : runtime_(runtime),
      device_(select_device(runtime)),
      hash_(hash.empty() ? hash_of(model) : std::move(hash)),
      prediction_(
          [this](const auto& in) -> std::vector<at::Tensor> {
            return {denoiser_->forward(in[0], in[1], {in[2], in[3], in[4], {}})};
          },
          runtime.cuda_graph),
      both_predictions_(
          [this](const auto& in) -> std::vector<at::Tensor> {
            const auto [own, null] =
                denoiser_->own_and_null(in[0], in[1], {in[2], in[3], in[4], {}});
            return {own, null};
          },
          runtime.cuda_graph) {
  info_ = load_options<DatasetInfo>(model / "dataset.yaml");
  process_ = load_options<DiffusionProcess>(model / "diffusion.yaml");
  scale_ = load_options<LatentScale>(model / "latent.yaml");
  const auto beams = [&](const std::vector<int64_t>& size) {
    return ViewBeams(views_of(model), info_.geometry, info_.lateral_source_to_centre_mm,
                     info_.typical_spacing_at_mm(size));
  };
  denoiser_ = load_model(model, [&] {
    return CtpaDenoiser(
        load_options<CtpaDenoiserOptions>(model_config_file(model)), scale_.channels(),
        std::array<int64_t, 3>{scale_.size[0], scale_.size[1], scale_.size[2]}, beams(scale_.size));
  });
  autoencoder_ = load_latent_codec(model / "autoencoder", device_, compute_type(runtime));
  if (denoiser_->options().cxr_encoder == CxrEncoding::frozen) {
    frozen_encoder_ = load_model<VisionTransformer>(model / "cxr_encoder");
    frozen_encoder_->to(device_);
    frozen_encoder_->eval();
  }
  if (denoiser_->options().mean == LatentMean::linear) {
    means_ = ViewMeans(load_view_sets<LinearMean>(model / "mean", views()));
    means_.to(device_);
  }
  if (fs::exists(model / "prior")) {
    priors_ = ViewPriors(load_view_sets<GaussianPrior>(model / "prior", views()));
    priors_.to(device_);
  }
  if (fs::exists(model / "refiner")) {
    refiner_ = load_model(model / "refiner", [&] {
      return VolumeRefiner(load_options<VolumeRefinerOptions>(model_config_file(model / "refiner")),
                           info_.grid_dhw, beams({info_.grid_dhw.begin(), info_.grid_dhw.end()}));
    });
    refiner_->to(device_);
    refiner_->eval();
  }
  denoiser_->to(device_, compute_type(runtime));
  denoiser_->eval();
  for (int64_t v = 0; v < view_count(views()); ++v)
    novelty_[size_t(v)] = CxrNovelty::load(model, CxrView(v));
}

CxrViews CtpaGenerator::views_of(const fs::path& model) {
  require(model);
  return load_options<CtpaDenoiserOptions>(model_config_file(model)).views;
}

std::string CtpaGenerator::hash_of(const fs::path& model) {
  require(model);
  std::string hashes;
  for (const char* name : {"config.yaml",
                           "model.safetensors",
                           "dataset.yaml",
                           "diffusion.yaml",
                           "latent.yaml",
                           "autoencoder/config.yaml",
                           "autoencoder/model.safetensors",
                           "cxr_encoder/config.yaml",
                           "cxr_encoder/model.safetensors",
                           "mean/config.yaml",
                           "mean/model.safetensors",
                           "prior/config.yaml",
                           "prior/model.safetensors",
                           "refiner/config.yaml",
                           "refiner/model.safetensors",
                           "mean/lateral/config.yaml",
                           "mean/lateral/model.safetensors",
                           "mean/both/config.yaml",
                           "mean/both/model.safetensors",
                           "prior/lateral/config.yaml",
                           "prior/lateral/model.safetensors",
                           "prior/both/config.yaml",
                           "prior/both/model.safetensors"}) {
    if (fs::exists(model / name)) hashes += sha256_of_file(model / name);
  }
  return sha256(hashes);
}

at::Tensor CtpaGenerator::generate(const std::vector<SampleRequest>& requests,
                                   const SamplerOptions& sampler, int64_t seed) {
  return decode(latents(requests, sampler, seed), requests);
}

at::Tensor CtpaGenerator::latents(const std::vector<SampleRequest>& requests,
                                  const SamplerOptions& sampler, int64_t seed,
                                  const ProjectionGuidanceOptions& projection) {
  if (!runtime_.deterministic || requests.size() == 1)
    return latents_of_batch(requests, sampler, seed, projection);
  // Kernels may sum in another order for another batch size: one by one gives the same bits always.
  std::vector<at::Tensor> latents;
  for (const auto& request : requests)
    latents.push_back(latents_of_batch({request}, sampler, seed, projection));
  return at::cat(latents);
}

at::Tensor CtpaGenerator::decode(const at::Tensor& latents,
                                 const std::vector<SampleRequest>& requests) {
  at::InferenceMode no_grad;
  // One by one: the volumes of a batch would need its multiple in memory and gain next to nothing.
  std::vector<at::Tensor> volumes;
  for (int64_t i = 0; i < latents.size(0); ++i) {
    auto unit = decode_one(latents.slice(0, i, i + 1));
    if (refiner_) unit = refiner_->forward(unit, requests[size_t(i)].cxr.unsqueeze(0).to(device_));
    volumes.push_back(to_hu(unit));
  }
  return at::cat(volumes);
}

at::Tensor CtpaGenerator::decode_one(at::Tensor latent) {
  if (process_.quantise_latents) latent = autoencoder_->nearest_codes(latent);
  const MemoryPlan plan =
      autoencoder_->plan_decode(latent.sizes(), memory_budget(runtime_, device_));
  if (!std::exchange(plan_is_logged_, true)) log_info("decoding: {}", plan.text());
  return autoencoder_->decode(latent, plan);
}

at::Tensor CtpaGenerator::to_hu(const at::Tensor& unit) const {
  return info_.window.to_hu(unit.squeeze(1).clamp(-1, 1)).to(at::kCPU, at::kFloat);
}

at::Tensor CtpaGenerator::mean_latents(const std::vector<SampleRequest>& requests) {
  at::InferenceMode no_grad;
  if (!has_mean()) throw Error("this model has no mean: it makes whole latents by diffusion");
  std::vector<at::Tensor> pictures;
  for (const auto& r : requests) pictures.push_back(r.cxr);
  const auto cxr = at::stack(pictures).to(device_);
  return scale_.restore(means_.forward(cxr, view_sets_of(cxr)));
}

at::Tensor CtpaGenerator::reconstruct(const at::Tensor& hu) {
  at::InferenceMode no_grad;
  std::vector<at::Tensor> volumes;
  for (int64_t i = 0; i < hu.size(0); ++i) {
    const auto unit = info_.window.to_unit(hu.slice(0, i, i + 1)).unsqueeze(1).to(device_);
    const MemoryPlan plan =
        autoencoder_->plan_encode(unit.sizes(), memory_budget(runtime_, device_));
    volumes.push_back(to_hu(decode_one(autoencoder_->encode(unit, plan))));
  }
  return at::cat(volumes);
}

std::optional<Novelty> CtpaGenerator::novelty(const at::Tensor& cxr) {
  at::InferenceMode no_grad;
  std::optional<Novelty> most;
  for (int64_t v = 0; v < view_count(views()); ++v) {
    if (!novelty_[size_t(v)]) continue;
    const auto all = cxr.unsqueeze(0);
    if (views() == CxrViews::both && !views_there(all)[0][v].item<bool>()) continue;
    const Novelty one = novelty_of(CxrView(v), all);
    if (!most) most = Novelty{};
    most->picture = std::max(most->picture, one.picture);
    most->embedding = std::max(most->embedding, one.embedding);
  }
  return most;
}

Novelty CtpaGenerator::novelty_of(CxrView view, const at::Tensor& cxr) {
  const auto picture =
      (views() == CxrViews::both ? only_views(cxr, ViewSet(int64_t(view))) : cxr).to(device_);
  const bool tokens = frozen_encoder_ && denoiser_->options().unet.cond_tokens > 0;
  const auto embedding = tokens            ? frozen_encoder_->tokens(picture).mean(1)
                         : frozen_encoder_ ? frozen_encoder_->embed(picture)
                                           : denoiser_->embed(picture.to(compute_type(runtime_)));
  return novelty_[size_t(view)]->measure(cxr[0].narrow(0, int64_t(view), 1),
                                         embedding[0].to(at::kFloat));
}

CxrCondition CtpaGenerator::condition_of(const std::vector<SampleRequest>& requests) {
  // The samples of an X-ray share its tensor: it is encoded and projected once.
  std::vector<at::Tensor> pictures, means;
  std::vector<int64_t> label_list, rows;
  const bool guided_by_label = denoiser_->options().label_guidance;
  for (const auto& r : requests) {
    const std::array<int64_t, 3> expected{view_count(views()), info_.cxr_size, info_.cxr_size};
    if (!r.cxr.sizes().equals(expected)) {
      throw Error(fmt::format("X-ray {}: expected ({}, {}, {}) pixels", r.id, expected[0],
                              info_.cxr_size, info_.cxr_size));
    }
    if (r.label != label_unknown && !guided_by_label) {
      throw Error("this model was trained without label guidance; it takes no PE label");
    }
    if (pictures.empty() || !r.cxr.is_same(pictures.back()) || r.label != label_list.back()) {
      pictures.push_back(r.cxr);
      label_list.push_back(r.label);
      means.push_back(r.mean);
    }
    rows.push_back(int64_t(pictures.size()) - 1);
  }
  const auto cxr = at::stack(pictures).to(device_);
  const auto labels =
      guided_by_label ? at::tensor(label_list, at::kLong).to(device_) : at::Tensor();
  const at::ScalarType type = compute_type(runtime_);
  CxrCondition condition;
  if (frozen_encoder_) {
    const auto found = frozen_encoder_->find(cxr);
    condition = denoiser_->condition_from({found.tokens.to(type), found.pooled.to(type)}, labels);
  } else {
    condition = denoiser_->condition(cxr.to(type), labels);
  }
  condition.sets = view_sets_of(cxr);
  if (has_mean()) {
    condition.mean = means_.forward(cxr, condition.sets).to(type);
    for (size_t i = 0; i < means.size(); ++i)
      if (means[i].defined()) condition.mean[int64_t(i)].copy_(means[i]);
    condition.rest_std = means_.rest_std(condition.sets);
  }
  if (pictures.size() == requests.size()) return condition;
  const auto index = at::tensor(rows, at::kLong).to(device_);
  const auto spread = [&](const at::Tensor& x) {
    return x.defined() ? x.index_select(0, index) : x;
  };
  const bool one_unit = !has_mean() || condition.rest_std.size(0) == 1;
  return {spread(condition.embedding), spread(condition.spatial), spread(condition.mean),
          one_unit ? condition.rest_std : spread(condition.rest_std),
          condition.sets.index_select(0, at::tensor(rows, at::kLong))};
}

X0Correction CtpaGenerator::projection_of(const std::vector<SampleRequest>& requests,
                                          const CxrCondition& condition,
                                          const ProjectionGuidanceOptions& options, int64_t steps) {
  if (!options.is_on()) return {};
  for (const auto& r : requests) {
    if (r.cxr.select(0, 0).isnan().any().item<bool>())
      throw Error(
          fmt::format("X-ray {}: sample.projection pulls towards the frontal view, which is "
                      "not there. Give it, or set sample.projection.strength 0",
                      r.id));
  }
  return [this, &requests, &condition, steps, options](const at::Tensor& x0, Mixture now,
                                                       int64_t step) -> at::Tensor {
    const double start = seconds_now(device_);
    std::vector<at::Tensor> pulled;
    for (int64_t i = 0; i < x0.size(0); ++i) {
      ProjectionGuidance::Covariance covariance;
      const auto set = size_t(condition.sets[i].item<int64_t>());
      if (!priors_.is_empty())
        covariance = [this, set](const at::Tensor& x) {
          return priors_.of_sets()[set]->covariance_times(x);
        };
      const ProjectionGuidance guidance(options, info_, covariance);
      if (!guidance.acts(now, steps - 1 - step)) return x0;
      // Decoded outside of inference mode, whose tensors have no gradients.
      CxrCondition own;
      if (condition.mean.defined()) {
        const c10::InferenceMode off(false);
        own.mean = condition.mean.slice(0, i, i + 1).to(at::kFloat).clone();
        own.rest_std = (condition.rest_std.size(0) == 1 ? condition.rest_std
                                                        : condition.rest_std.slice(0, i, i + 1))
                           .clone();
      }
      const auto latent = [&](const at::Tensor& x) { return scale_.restore(own.latent(x)); };
      pulled.push_back(guidance.pulled(
          x0.slice(0, i, i + 1), requests[size_t(i)].cxr.narrow(0, 0, 1).to(device_),
          {[&](const at::Tensor& x) { return autoencoder_->decode_with_gradient(latent(x)); },
           [&](const at::Tensor& x, const at::Tensor& volume, const at::Tensor& other) {
             return autoencoder_->decode_near(latent(x), volume, latent(other));
           }}));
    }
    auto all = at::cat(pulled);
    step_seconds_.guidance += seconds_now(device_) - start;
    step_seconds_.guided += x0.size(0);
    return all;
  };
}

at::Tensor CtpaGenerator::latents_of_batch(const std::vector<SampleRequest>& requests,
                                           const SamplerOptions& given, int64_t seed,
                                           const ProjectionGuidanceOptions& projection) {
  at::InferenceMode no_grad;
  SamplerOptions options = given;
  if (options.clamp == 0) options.clamp = process_.x0_limit;
  const std::vector<int64_t> shape{scale_.channels(), scale_.size[0], scale_.size[1],
                                   scale_.size[2]};
  const auto noise_of = [&](const std::string& suffix) {
    std::vector<at::Tensor> noise;
    for (const auto& r : requests)
      noise.push_back(case_noise(seed, r.id + suffix, r.sample, shape));
    return at::stack(noise).to(device_);
  };
  const at::ScalarType type = compute_type(runtime_);
  const CxrCondition condition = condition_of(requests);
  const NoiseSchedule schedule(process_.schedule);
  const auto times = timesteps_of(schedule, options);
  int64_t step = 0;
  const double start = seconds_now(device_), guided_before = step_seconds_.guidance;
  const auto x0 = sample(
      schedule, process_.prediction, options,
      [&](const at::Tensor& x, const at::Tensor& t) {
        stop_if_interrupted();
        const std::vector<at::Tensor> inputs{x.to(type), t, condition.embedding, condition.spatial,
                                             condition.mean};
        const auto whole = [&](const at::Tensor& found) {
          const auto own = found.to(at::kFloat);
          if (priors_.is_empty()) return own;
          return own + priors_.prediction(schedule, process_.prediction, x, t, condition.sets);
        };
        if (!guidance_acts(options, schedule.at(times[size_t(step++)])))
          return whole(prediction_(inputs)[0]);
        const auto predictions = both_predictions_(inputs);
        return guided(options, whole(predictions[0]), whole(predictions[1]));
      },
      noise_of(""), [&](int64_t number) { return noise_of(fmt::format("/step/{}", number)); },
      projection_of(requests, condition, projection, int64_t(times.size())));
  step_seconds_.plain += seconds_now(device_) - start - (step_seconds_.guidance - guided_before);
  step_seconds_.steps += int64_t(times.size() * requests.size());
  return scale_.restore(condition.latent(x0));
}

}  // namespace x2ctpa
