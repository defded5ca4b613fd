#include "x2ctpa/inference/ctpa_generator.h"

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/memory.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

void require(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    throw Error(fmt::format("the model folder {} does not exist; train one with x2ctpa train-diffusion, or give --model", folder.string()));
  }
  for (const char* name : {"config.yaml", "model.safetensors", "dataset.yaml", "diffusion.yaml", "latent.yaml",
                           "autoencoder/config.yaml", "autoencoder/model.safetensors"}) {
    if (!fs::exists(folder / name)) throw Error(fmt::format("the model folder {} lacks {}: it is not a whole diffusion model", folder.string(), name));
  }
}

}  // namespace

CtpaGenerator::CtpaGenerator(const fs::path& model, const RuntimeOptions& runtime)
    : runtime_(runtime), device_(select_device(runtime)) {
  require(model);
  info_ = load_options<DatasetInfo>(model / "dataset.yaml");
  process_ = load_options<DiffusionProcess>(model / "diffusion.yaml");
  scale_ = load_options<LatentScale>(model / "latent.yaml");
  hash_ = sha256(sha256_of_file(model_weights_file(model)) + sha256_of_file(model_weights_file(model / "autoencoder")));
  const BackProjectionGeometry geometry{info_.geometry.source_to_detector_mm, info_.geometry.source_to_centre_mm,
                                        info_.geometry.detector_mm, info_.typical_spacing_at_mm(scale_.size)};
  denoiser_ = CtpaDenoiser(load_options<CtpaDenoiserOptions>(model_config_file(model)), scale_.channels(),
                           std::array<int64_t, 3>{scale_.size[0], scale_.size[1], scale_.size[2]}, geometry);
  load_module(model, *denoiser_);
  autoencoder_ = load_latent_codec(model / "autoencoder", device_, compute_type(runtime));
  if (denoiser_->options().cxr_encoder == "frozen") {
    frozen_encoder_ = VisionTransformer(load_options<VisionTransformerOptions>(model_config_file(model / "cxr_encoder")));
    load_module(model / "cxr_encoder", *frozen_encoder_);
    frozen_encoder_->to(device_);
    frozen_encoder_->eval();
    hash_ = sha256(hash_ + sha256_of_file(model_weights_file(model / "cxr_encoder")));
  }
  denoiser_->to(device_, compute_type(runtime));
  denoiser_->eval();
}

at::Tensor CtpaGenerator::generate(const std::vector<SampleRequest>& requests, const SamplerOptions& sampler, int64_t seed) {
  if (!runtime_.deterministic || requests.size() == 1) return generate_batch(requests, sampler, seed);
  // Kernels may sum in another order for another batch size: one by one gives the same bits always.
  std::vector<at::Tensor> volumes;
  for (const auto& request : requests) volumes.push_back(generate_batch({request}, sampler, seed));
  return at::cat(volumes);
}

CxrCondition CtpaGenerator::condition_of(const std::vector<SampleRequest>& requests) {
  std::vector<at::Tensor> pictures;
  std::vector<int64_t> label_list;
  for (const auto& r : requests) {
    if (r.cxr.dim() != 3 || r.cxr.size(1) != info_.cxr_size || r.cxr.size(2) != info_.cxr_size) {
      throw Error(fmt::format("X-ray {}: expected (1, {}, {}) pixels", r.id, info_.cxr_size, info_.cxr_size));
    }
    pictures.push_back(r.cxr);
    label_list.push_back(r.label);
  }
  const at::ScalarType type = compute_type(runtime_);
  const auto cxr = at::stack(pictures).to(device_);
  at::Tensor labels;
  if (denoiser_->options().label_guidance) labels = at::tensor(label_list, at::kLong).to(device_);
  else if (std::any_of(label_list.begin(), label_list.end(), [](int64_t l) { return l != label_unknown; })) {
    throw Error("this model was trained without label guidance; it takes no PE label");
  }
  if (frozen_encoder_) {
    const bool tokens = denoiser_->options().unet.cond_tokens > 0;
    return denoiser_->frozen_condition((tokens ? frozen_encoder_->tokens(cxr) : frozen_encoder_->embed(cxr)).to(type), labels);
  }
  return denoiser_->condition(cxr.to(type), labels);
}

at::Tensor CtpaGenerator::decode_latent(const at::Tensor& latent) {
  const MemoryPlan plan = autoencoder_->plan_decode(latent.sizes(), memory_budget(runtime_, device_));
  if (!std::exchange(plan_is_logged_, true)) log_info("decoding: {}", plan.text());
  return autoencoder_->decode(latent, plan);
}

at::Tensor CtpaGenerator::generate_batch(const std::vector<SampleRequest>& requests, const SamplerOptions& given, int64_t seed) {
  at::InferenceMode no_grad;
  SamplerOptions options = given;
  if (options.clamp == 0) options.clamp = process_.x0_limit;
  const std::vector<int64_t> shape{scale_.channels(), scale_.size[0], scale_.size[1], scale_.size[2]};
  const auto noise_of = [&](const std::string& suffix) {
    std::vector<at::Tensor> noise;
    for (const auto& r : requests) noise.push_back(case_noise(seed, r.id + suffix, r.sample, shape));
    return at::stack(noise).to(device_);
  };
  const at::ScalarType type = compute_type(runtime_);
  const CxrCondition condition = condition_of(requests);
  const auto x0 = sample(
      NoiseSchedule(process_.schedule), prediction_from(process_.prediction), options,
      [&](const at::Tensor& x, const at::Tensor& t) {
        return denoiser_->guided(x.to(type), t, condition, options.guidance_scale).to(at::kFloat);
      },
      noise_of(""), [&](int64_t step) { return noise_of(fmt::format("/step/{}", step)); });
  const auto unit = decode_latent(scale_.restore(x0)).squeeze(1);
  return info_.window.to_hu(unit.clamp(-1, 1)).to(at::kCPU, at::kFloat);
}

}  // namespace x2ctpa
