#include "x2ctpa/models/autoencoder_maisi.h"

#include <fmt/format.h>

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

#include "models/autoencoder_maisi_blocks.h"
#include "models/checks.h"
#include "models/slabs/autoencoder_maisi_slabs.h"
#include "models/slabs/slab_run.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

void AutoencoderMaisiOptions::describe(OptionList& list) {
  list.add("num_channels", &num_channels,
           "Channels of each level; each level but the last halves the volume.", {.min = 1});
  list.add("num_res_blocks", &num_res_blocks, "Residual blocks of each level.", {.min = 1});
  list.add("latent_channels", &latent_channels, "Channels of the latent.", {.min = 1});
  list.add("norm_num_groups", &norm_num_groups, "Groups of GroupNorm.", {.min = 1});
}

namespace {

using autoencoder_maisi::Direction;
using autoencoder_maisi::SideImpl;

void check_options(const AutoencoderMaisiOptions& o) {
  if (o.num_channels.empty() || o.num_channels.size() != o.num_res_blocks.size()) {
    throw Error(fmt::format(
        "MAISI's autoencoder: expected as many num_res_blocks as num_channels, found {} and {}",
        o.num_res_blocks.size(), o.num_channels.size()));
  }
  for (const int64_t width : o.num_channels)
    require_multiple(width, o.norm_num_groups, "MAISI's autoencoder: num_channels");
}

std::vector<int64_t> reversed(const std::vector<int64_t>& values) {
  return {values.rbegin(), values.rend()};
}

}  // namespace

AutoencoderMaisiImpl::AutoencoderMaisiImpl(AutoencoderMaisiOptions options)
    : options_(std::move(options)) {
  check_options(options_);
  const auto& o = options_;
  const int64_t z = o.latent_channels;
  encoder_ = register_module(
      "encoder", std::make_shared<SideImpl>(Direction::down, 1, o.num_channels, o.num_res_blocks, z,
                                            o.norm_num_groups));
  decoder_ = register_module(
      "decoder", std::make_shared<SideImpl>(Direction::up, z, reversed(o.num_channels),
                                            reversed(o.num_res_blocks), 1, o.norm_num_groups));
  quant_conv_mu_ = register_module("quant_conv_mu", autoencoder_maisi::convolution(z, z, 1));
  quant_conv_log_sigma_ =
      register_module("quant_conv_log_sigma", autoencoder_maisi::convolution(z, z, 1));
  post_quant_conv_ = register_module("post_quant_conv", autoencoder_maisi::convolution(z, z, 1));
}

int64_t AutoencoderMaisiImpl::size_factor() const {
  return int64_t{1} << (options_.num_channels.size() - 1);
}

void AutoencoderMaisiImpl::check_volume(const at::Tensor& x) const {
  require_shape(x, {-1, 1, -1, -1, -1}, "MAISI's autoencoder: volume (B, 1, X, Y, Z)");
  for (const int64_t axis : {2, 3, 4})
    require_multiple(x.size(axis), size_factor(), "MAISI's autoencoder: size of the volume");
}

LatentPosterior AutoencoderMaisiImpl::encode(const at::Tensor& x) {
  check_volume(x);
  const auto h = encoder_->forward(x);
  return {quant_conv_mu_->forward(h), quant_conv_log_sigma_->forward(h).clamp(-30, 20)};
}

at::Tensor AutoencoderMaisiImpl::decode(const at::Tensor& z) {
  require_shape(z, {-1, options_.latent_channels, -1, -1, -1},
                "MAISI's autoencoder: latent (B, C, X, Y, Z)");
  return decoder_->forward(post_quant_conv_->forward(z));
}

MemoryPlan AutoencoderMaisiImpl::plan_encode(at::IntArrayRef shape,
                                             const MemoryLimit& limit) const {
  return slabs::plan(slabs::levels_of(*encoder_, nullptr, quant_conv_mu_), shape, limit,
                     "MAISI's autoencoder: encoding a volume of " + shape_text(shape));
}

MemoryPlan AutoencoderMaisiImpl::plan_decode(at::IntArrayRef shape,
                                             const MemoryLimit& limit) const {
  return slabs::plan(slabs::levels_of(*decoder_, post_quant_conv_, nullptr), shape, limit,
                     "MAISI's autoencoder: decoding a latent of " + shape_text(shape));
}

at::Tensor AutoencoderMaisiImpl::encode(const at::Tensor& x, const MemoryPlan& plan) {
  check_volume(x);
  at::NoGradGuard no_gradients;
  return slabs::run(slabs::levels_of(*encoder_, nullptr, quant_conv_mu_), x, plan);
}

at::Tensor AutoencoderMaisiImpl::decode(const at::Tensor& z, const MemoryPlan& plan) {
  require_shape(z, {-1, options_.latent_channels, -1, -1, -1},
                "MAISI's autoencoder: latent (B, C, X, Y, Z)");
  at::NoGradGuard no_gradients;
  return slabs::run(slabs::levels_of(*decoder_, post_quant_conv_, nullptr), z, plan);
}

}  // namespace x2ctpa
