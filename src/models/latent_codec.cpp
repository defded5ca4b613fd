#include "x2ctpa/models/latent_codec.h"

#include "x2ctpa/core/files.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

template <class Model, class Options>
Model load_frozen(const std::filesystem::path& folder, c10::Device device) {
  Model model(load_options<Options>(model_config_file(folder)));
  load_module(folder, *model);
  model->to(device);
  model->eval();
  return model;
}

class VqganCodec : public LatentCodec {
 public:
  VqganCodec(const std::filesystem::path& folder, c10::Device device)
      : model_(load_frozen<Vqgan3d, Vqgan3dOptions>(folder, device)) {}
  at::Tensor encode(const at::Tensor& volume) override { return model_->encode(volume); }
  at::Tensor decode(const at::Tensor& latent) override { return model_->decode(latent); }

 private:
  Vqgan3d model_;
};

class KlCodec : public LatentCodec {
 public:
  KlCodec(const std::filesystem::path& folder, c10::Device device)
      : model_(load_frozen<AutoencoderKl, AutoencoderKlOptions>(folder, device)) {}
  at::Tensor encode(const at::Tensor& volume) override { return model_->encode_volume(volume); }
  at::Tensor decode(const at::Tensor& latent) override { return model_->decode_volume(latent); }

 private:
  AutoencoderKl model_;
};

}  // namespace

std::unique_ptr<LatentCodec> load_latent_codec(const std::filesystem::path& folder, c10::Device device) {
  // Each kind's options are written whole, so one key that only the one has tells them apart.
  const bool kl = read_file(model_config_file(folder)).find("block_out_channels") != std::string::npos;
  if (kl) return std::make_unique<KlCodec>(folder, device);
  return std::make_unique<VqganCodec>(folder, device);
}

}  // namespace x2ctpa
