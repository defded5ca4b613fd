#include "x2ctpa/models/latent_codec.h"

#include <string>
#include <utility>
#include <vector>

#include "models/checks.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/volume_form.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

template <class Model>
Model load_frozen(const std::filesystem::path& folder, c10::Device device) {
  auto model = load_model<Model>(folder);
  model->to(device);
  model->eval();
  for (auto& parameter : model->parameters()) parameter.set_requires_grad(false);
  return model;
}

// A network that plans its own work and takes the number format from the plan.
template <class Model>
class PlannedCodec : public LatentCodec {
 public:
  PlannedCodec(const std::filesystem::path& folder, c10::Device device, c10::ScalarType type)
      : model_(load_frozen<Model>(folder, device)), type_(type) {}
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, int64_t bytes) const override {
    return model_->plan_encode(volume_shape, {bytes, type_});
  }
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, int64_t bytes) const override {
    return model_->plan_decode(latent_shape, {bytes, type_});
  }
  at::Tensor encode(const at::Tensor& volume, const MemoryPlan& plan) override {
    return model_->encode(volume, plan);
  }
  at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan) override {
    return model_->decode(latent, plan);
  }
  at::Tensor decode_with_gradient(const at::Tensor& latent) override {
    return model_->decode(latent);
  }

 protected:
  Model model_;

 private:
  c10::ScalarType type_;
};

class VqganCodec : public PlannedCodec<Vqgan3d> {
 public:
  using PlannedCodec::PlannedCodec;
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) override {
    return slices_at(model_->decode(latent), place);
  }
  at::Tensor nearest_codes(const at::Tensor& latent) override {
    return model_->codebook()->nearest_codes(latent);
  }
};

class ConvCodec : public PlannedCodec<ConvAutoencoder3d> {
 public:
  using PlannedCodec::PlannedCodec;
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) override {
    return model_->decode_slices(latent, place);
  }
  at::Tensor decode_with_gradient(const at::Tensor& latent) override {
    const auto linear = model_->linear_volume(latent);
    return linear + (LatentCodec::decode(latent.detach()) - linear.detach());
  }
  at::Tensor decode_near(const at::Tensor& latent, const at::Tensor& volume,
                         const at::Tensor& other) override {
    return volume + model_->linear_volume(other) - model_->linear_volume(latent);
  }
};

class MaisiCodec : public PlannedCodec<AutoencoderMaisi> {
 public:
  using PlannedCodec::PlannedCodec;
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) override {
    return slices_at(model_->decode(latent), place);
  }
};

class KlCodec : public LatentCodec {
 public:
  KlCodec(const std::filesystem::path& folder, c10::Device device, c10::ScalarType type)
      : model_(load_frozen<AutoencoderKl>(folder, device)), type_(type) {
    model_->to(type);
  }
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, int64_t bytes) const override {
    return model_->plan_encode_volume(volume_shape, {bytes, type_});
  }
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, int64_t bytes) const override {
    return model_->plan_decode_volume(latent_shape, {bytes, type_});
  }
  at::Tensor encode(const at::Tensor& volume, const MemoryPlan& plan) override {
    return model_->encode_volume(volume.to(type_), false, {}, plan.at_once).to(at::kFloat);
  }
  at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan) override {
    return model_->decode_volume(latent.to(type_), plan.at_once).to(at::kFloat);
  }
  at::Tensor decode_with_gradient(const at::Tensor& latent) override {
    return model_->decode_volume(latent.to(type_), 1).to(at::kFloat);
  }
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) override {
    const auto z = slices_at(latent, place) / model_->options().scaling_factor;
    return model_->decode(z.to(type_)).mean(1, /*keepdim=*/true).to(at::kFloat);
  }

 private:
  AutoencoderKl model_;
  c10::ScalarType type_;
};

// An autoencoder that takes volumes in another form. Its latents are turned to canonical axes too,
// so that the denoiser and what is back-projected into them need not know.
class FormedCodec : public LatentCodec {
 public:
  FormedCodec(std::unique_ptr<LatentCodec> codec, VolumeForm form)
      : codec_(std::move(codec)), form_(std::move(form)) {}
  MemoryPlan plan_encode(at::IntArrayRef volume_shape, int64_t bytes) const override {
    return codec_->plan_encode(form_.turned(volume_shape), bytes);
  }
  MemoryPlan plan_decode(at::IntArrayRef latent_shape, int64_t bytes) const override {
    return codec_->plan_decode(form_.turned(latent_shape), bytes);
  }
  at::Tensor encode(const at::Tensor& volume, const MemoryPlan& plan) override {
    return form_.turned_back(codec_->encode(form_.turned(form_.to_range(volume)), plan))
        .contiguous();
  }
  at::Tensor decode(const at::Tensor& latent, const MemoryPlan& plan) override {
    return as_volume_here(codec_->decode(form_.turned(latent), plan));
  }
  at::Tensor decode_with_gradient(const at::Tensor& latent) override {
    return as_volume_here(codec_->decode_with_gradient(form_.turned(latent)));
  }
  // Its slices may lie across those of the autoencoder.
  at::Tensor decode_slices(const at::Tensor& latent, const at::Tensor& place) override {
    return slices_at(decode_with_gradient(latent), place);
  }
  at::Tensor nearest_codes(const at::Tensor& latent) override {
    return form_.turned_back(codec_->nearest_codes(form_.turned(latent))).contiguous();
  }

 private:
  at::Tensor as_volume_here(const at::Tensor& x) const {
    return form_.from_range(form_.turned_back(x)).contiguous();
  }

  std::unique_ptr<LatentCodec> codec_;
  VolumeForm form_;
};

std::unique_ptr<LatentCodec> load_codec(const std::filesystem::path& folder, c10::Device device,
                                        c10::ScalarType type) {
  switch (autoencoder_kind(folder)) {
    case AutoencoderKind::kl:
      return std::make_unique<KlCodec>(folder, device, type);
    case AutoencoderKind::conv:
      return std::make_unique<ConvCodec>(folder, device, type);
    case AutoencoderKind::maisi:
      return std::make_unique<MaisiCodec>(folder, device, type);
    case AutoencoderKind::vqgan:
      break;
  }
  return std::make_unique<VqganCodec>(folder, device, type);
}

}  // namespace

at::Tensor slices_at(const at::Tensor& volumes, const at::Tensor& place) {
  require_shape(volumes, {-1, -1, -1, -1, -1}, "volumes (B, C, D, H, W)");
  require_shape(place, {volumes.size(0)}, "places of slices (B)");
  const auto depth = volumes.size(2);
  const auto number = (place.to(at::kDouble) * double(depth)).to(at::kLong).clamp(0, depth - 1);
  std::vector<at::Tensor> slices;
  for (int64_t i = 0; i < volumes.size(0); ++i)
    slices.push_back(volumes[i].select(1, number[i].item<int64_t>()));
  return at::stack(slices);
}

at::Tensor LatentCodec::encode(const at::Tensor& volume) {
  return encode(volume, plan_encode(volume.sizes(), MemoryLimit().bytes));
}

at::Tensor LatentCodec::decode(const at::Tensor& latent) {
  return decode(latent, plan_decode(latent.sizes(), MemoryLimit().bytes));
}

at::Tensor LatentCodec::decode_near(const at::Tensor& /*latent*/, const at::Tensor& /*volume*/,
                                    const at::Tensor& other) {
  return decode_with_gradient(other);
}

AutoencoderKind autoencoder_kind(const std::filesystem::path& folder) {
  // Each kind's options are written whole, so one key that only the one has tells them apart.
  const std::string config = read_file(model_config_file(folder));
  const auto has = [&](const char* key) { return config.find(key) != std::string::npos; };
  if (has("block_out_channels")) return AutoencoderKind::kl;
  if (has("num_res_blocks")) return AutoencoderKind::maisi;
  return has("decoder_blocks") ? AutoencoderKind::conv : AutoencoderKind::vqgan;
}

std::unique_ptr<LatentCodec> load_latent_codec(const std::filesystem::path& folder,
                                               c10::Device device, c10::ScalarType type) {
  auto codec = load_codec(folder, device, type);
  auto form = load_volume_form(folder);
  if (!form) return codec;
  return std::make_unique<FormedCodec>(std::move(codec), std::move(*form));
}

}  // namespace x2ctpa
