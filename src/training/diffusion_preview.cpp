#include "training/diffusion_preview.h"

#include <functional>

#include "x2ctpa/core/memory.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/volume_picture.h"
#include "x2ctpa/diffusion/sampler.h"

namespace x2ctpa {

DiffusionPreview::DiffusionPreview(const Dataset& dataset, std::vector<Case> cases, Predict predict,
                                   DiffusionProcess process, LatentScale scale,
                                   std::filesystem::path vae, const RuntimeOptions& runtime)
    : dataset_(dataset),
      cases_(std::move(cases)),
      predict_(std::move(predict)),
      process_(std::move(process)),
      scale_(std::move(scale)),
      vae_(std::move(vae)),
      runtime_(runtime) {
  if (cases_.size() > 2) cases_.resize(2);
}

at::Tensor DiffusionPreview::volume(const Case& c, const CxrCondition& condition,
                                    c10::Device device) {
  SamplerOptions options;
  options.clamp = process_.x0_limit;
  const auto noise =
      case_noise(runtime_.seed, c.id, 0,
                 {1, scale_.channels(), scale_.size[0], scale_.size[1], scale_.size[2]});
  const auto x0 =
      sample(NoiseSchedule(process_.schedule), process_.prediction, options,
             [&](const at::Tensor& x, const at::Tensor& t) { return predict_(x, t, condition); },
             noise.to(device), {});
  const auto latent = scale_.restore(condition.latent(x0));
  return codec_
      ->decode(latent, codec_->plan_decode(latent.sizes(), memory_budget(runtime_, device)))
      .squeeze(0);
}

std::vector<Picture> DiffusionPreview::pictures(
    const std::function<CxrCondition(const Case&)>& condition) {
  at::NoGradGuard no_grad;
  const auto device = select_device(runtime_);
  if (!codec_) codec_ = load_latent_codec(vae_, device);
  std::vector<Picture> out;
  for (const auto& c : cases_) {
    const auto made = volume(c, condition(c), device);
    const auto xray = first_view(dataset_.load_views(c, dataset_.info().views()));
    out.push_back({c.id, volume_picture(dataset_.info(), {dataset_.load_ct(c), made}, xray, true)});
  }
  return out;
}

}  // namespace x2ctpa
