#include "x2ctpa/models/vqgan3d.h"

#include <memory>
#include <optional>

#include "models/checks.h"
#include "models/level_strides.h"
#include "models/slabs/slab_run.h"
#include "models/slabs/vqgan3d_slabs.h"
#include "models/vqgan3d_blocks.h"

namespace x2ctpa {

void Vqgan3dOptions::describe(OptionList& list) {
  list.add("channels", &channels, "Channels of the volume.", {.min = 1});
  list.add("hidden_channels", &hidden_channels,
           "Channels before the first downsampling; each doubles them.", {.min = 1});
  list.add("embedding_dim", &embedding_dim, "Channels of the latent.", {.min = 1});
  list.add("codes", &codes, "Size of the codebook.", {.min = 1});
  list.add("downsample", &downsample, "Downsampling along D, H, W; powers of two.",
           {.min = 1, .count = 3});
  list.add("norm", &norm, "group: by sample; batch: over the batch, its averages in evaluation.");
  list.add("groups", &groups, "Groups of GroupNorm; fewer where they do not divide the channels.",
           {.min = 1});
  list.add("commitment_weight", &commitment_weight, "Weight of the commitment loss.", {.min = 0});
  list.add("ema_decay", &ema_decay, "Decay of the codebook's moving averages.",
           {.min = 0, .max = 1});
  list.add("random_restart", &random_restart,
           "Draw codes that are hardly used anew from the batch.");
  list.add("restart_threshold", &restart_threshold, "Average use below which a code is drawn anew.",
           {.min = 0});
}

namespace {

CodebookOptions codebook_options(const Vqgan3dOptions& o) {
  return {o.codes, o.embedding_dim, o.ema_decay, o.random_restart, o.restart_threshold};
}

}  // namespace

Vqgan3dImpl::Vqgan3dImpl(Vqgan3dOptions options) : options_(std::move(options)) {
  check_downsample(options_.downsample, "VQ-GAN");
  const int64_t inner = options_.hidden_channels << level_strides(options_.downsample).size();
  encoder_ = register_module("encoder", std::make_shared<vqgan3d::EncoderImpl>(options_));
  decoder_ = register_module("decoder", std::make_shared<vqgan3d::DecoderImpl>(options_));
  pre_vq_ = register_module(
      "pre_vq_conv", std::make_shared<vqgan3d::SamePadConvImpl>(inner, options_.embedding_dim, 1));
  post_vq_ = register_module(
      "post_vq_conv", std::make_shared<vqgan3d::SamePadConvImpl>(options_.embedding_dim, inner, 1));
  codebook_ = register_module("codebook", Codebook(codebook_options(options_)));
}

std::vector<int64_t> Vqgan3dImpl::latent_size(const std::vector<int64_t>& size_dhw) const {
  return downsampled(size_dhw, options_.downsample, "VQ-GAN");
}

at::Tensor Vqgan3dImpl::encode(const at::Tensor& x) {
  require_shape(x, {-1, options_.channels, -1, -1, -1}, "VQ-GAN: volume (B, C, D, H, W)");
  latent_size({x.size(2), x.size(3), x.size(4)});
  return pre_vq_->forward(encoder_->forward(x));
}

Quantised Vqgan3dImpl::quantise(const at::Tensor& z, std::optional<at::Generator> generator) {
  return codebook_->forward(z, generator);
}

at::Tensor Vqgan3dImpl::decode(const at::Tensor& latent, bool quantise_first) {
  require_shape(latent, {-1, options_.embedding_dim, -1, -1, -1}, "VQ-GAN: latent (B, C, d, h, w)");
  auto z = quantise_first ? codebook_->nearest_codes(latent) : latent;
  return decoder_->forward(post_vq_->forward(z));
}

MemoryPlan Vqgan3dImpl::plan_encode(at::IntArrayRef volume_shape, const MemoryLimit& limit) const {
  return slabs::plan(slabs::encoder_levels(*encoder_, *pre_vq_), volume_shape, limit,
                     "VQ-GAN: encoding a volume of " + shape_text(volume_shape));
}

MemoryPlan Vqgan3dImpl::plan_decode(at::IntArrayRef latent_shape, const MemoryLimit& limit) const {
  return slabs::plan(slabs::decoder_levels(*decoder_, *post_vq_), latent_shape, limit,
                     "VQ-GAN: decoding a latent of " + shape_text(latent_shape));
}

at::Tensor Vqgan3dImpl::encode(const at::Tensor& x, const MemoryPlan& plan) {
  require_shape(x, {-1, options_.channels, -1, -1, -1}, "VQ-GAN: volume (B, C, D, H, W)");
  latent_size({x.size(2), x.size(3), x.size(4)});
  at::NoGradGuard no_gradients;
  return slabs::run(slabs::encoder_levels(*encoder_, *pre_vq_), x, plan);
}

at::Tensor Vqgan3dImpl::decode(const at::Tensor& latent, const MemoryPlan& plan,
                               bool quantise_first) {
  require_shape(latent, {-1, options_.embedding_dim, -1, -1, -1}, "VQ-GAN: latent (B, C, d, h, w)");
  at::NoGradGuard no_gradients;
  const auto z = quantise_first ? codebook_->nearest_codes(latent) : latent;
  return slabs::run(slabs::decoder_levels(*decoder_, *post_vq_), z, plan);
}

Vqgan3dOutput Vqgan3dImpl::forward(const at::Tensor& x, std::optional<at::Generator> generator) {
  Vqgan3dOutput output;
  output.z = encode(x);
  output.codes = quantise(output.z, generator);
  output.reconstruction = decode(output.codes.quantised);
  return output;
}

}  // namespace x2ctpa
