#include "x2ctpa/models/unet3d.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <memory>
#include <string>

#include "models/checks.h"
#include "models/unet3d_blocks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa {

using namespace unet3d;

void Unet3dOptions::describe(OptionList& list) {
  list.add("in_channels", &in_channels,
           "Channels of the input: those of the latent and of what is joined to it.", {.min = 1});
  list.add("out_channels", &out_channels, "Channels of the prediction.", {.min = 1});
  list.add("dim", &dim, "Channels of the first level; even.", {.min = 4});
  list.add("dim_mults", &dim_mults,
           "Channels of each level as multiples of dim; each level but the last halves H and W.",
           {.min = 1});
  list.add("cond_dim", &cond_dim, "Width of the condition; 0: unconditional.", {.min = 0});
  list.add("cond_tokens", &cond_tokens,
           "Tokens of cond_dim channels that one linear layer turns into the condition; 0: the "
           "condition is a vector.",
           {.min = 0});
  list.add("attention_heads", &attention_heads, "Heads of 32 channels in every attention.",
           {.min = 1});
  list.add("norm_groups", &norm_groups, "Groups of GroupNorm.", {.min = 1});
  list.add("init_kernel", &init_kernel, "Side of the first convolution's kernel; odd.", {.min = 1});
  list.add("without_spatial_attention", &without_spatial_attention,
           "Levels (0: the finest) that leave out linear attention within slices.", {.min = 0});
  list.add("without_temporal_attention", &without_temporal_attention,
           "Levels (0: the finest, with the one after the first convolution) that leave out "
           "attention along D.",
           {.min = 0});
}

namespace {

bool contains(const std::vector<int64_t>& list, int64_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

void check_options(const Unet3dOptions& o) {
  if (o.dim_mults.empty()) throw Error("Unet3D: expected at least one entry in dim_mults");
  if (o.dim < 4 || o.dim % 2 != 0) {
    throw Error(fmt::format("Unet3D: expected an even dim of at least 4, found {}", o.dim));
  }
  if (o.cond_tokens > 0 && o.cond_dim == 0) {
    throw Error("Unet3D: cond_tokens needs a cond_dim above 0");
  }
  if (o.init_kernel % 2 != 1) {
    throw Error(fmt::format("Unet3D: expected an odd init_kernel, found {}", o.init_kernel));
  }
}

}  // namespace

Unet3dImpl::Unet3dImpl(Unet3dOptions options) : options_(std::move(options)) {
  check_options(options_);
  const int64_t dim = options_.dim, time_dim = 4 * dim, heads = options_.attention_heads;
  const int64_t mid = dim * options_.dim_mults.back(), embedding = time_dim + options_.cond_dim;
  if (options_.cond_dim > 0) {
    null_cond_ = register_parameter("null_cond", at::randn({1, options_.cond_dim}));
    if (options_.cond_tokens > 0) {
      cond_projection_ = register_module(
          "cond_projection",
          torch::nn::Linear(options_.cond_tokens * options_.cond_dim, options_.cond_dim));
    }
  }
  rotary_frequencies_ = register_buffer("rotary_frequencies", rotary_frequencies());
  position_bias_ = register_module("position_bias", std::make_shared<PositionBiasImpl>(heads));
  init_conv_ = register_module("init_conv", std::make_shared<PlanarConvImpl>(
                                                options_.in_channels, dim, options_.init_kernel));
  if (!contains(options_.without_temporal_attention, 0)) {
    init_attention_ = register_module("init_temporal_attention",
                                      std::make_shared<TemporalAttentionImpl>(dim, heads));
  }
  time1_ = register_module("time1", torch::nn::Linear(dim, time_dim));
  time2_ = register_module("time2", torch::nn::Linear(time_dim, time_dim));
  make_levels();
  const auto block = [&] {
    return std::make_shared<ResnetBlockImpl>(mid, mid, embedding, options_.norm_groups);
  };
  mid_block1_ = register_module("mid_block1", block());
  mid_spatial_attention_ = register_module(
      "mid_spatial_attention", std::make_shared<SpatialAttentionImpl>(mid, heads, false));
  mid_temporal_attention_ = register_module("mid_temporal_attention",
                                            std::make_shared<TemporalAttentionImpl>(mid, heads));
  mid_block2_ = register_module("mid_block2", block());
  final_block_ = register_module(
      "final_block", std::make_shared<ResnetBlockImpl>(2 * dim, dim, 0, options_.norm_groups));
  final_conv_ = register_module("final_conv",
                                std::make_shared<PlanarConvImpl>(dim, options_.out_channels, 1));
}

Unet3dImpl::Level Unet3dImpl::make_level(const std::string& name, int64_t in, int64_t out,
                                         int64_t index) {
  const int64_t embedding = 4 * options_.dim + options_.cond_dim;
  auto container = register_module(name, std::make_shared<torch::nn::Module>(name));
  Level level;
  const auto block = [&](int64_t from) {
    return std::make_shared<ResnetBlockImpl>(from, out, embedding, options_.norm_groups);
  };
  level.block1 = container->register_module("block1", block(in));
  level.block2 = container->register_module("block2", block(out));
  if (!contains(options_.without_spatial_attention, index)) {
    level.spatial_attention = container->register_module(
        "spatial_attention",
        std::make_shared<SpatialAttentionImpl>(out, options_.attention_heads, true));
  }
  if (!contains(options_.without_temporal_attention, index)) {
    level.temporal_attention = container->register_module(
        "temporal_attention",
        std::make_shared<TemporalAttentionImpl>(out, options_.attention_heads));
  }
  return level;
}

void Unet3dImpl::make_levels() {
  std::vector<int64_t> widths{options_.dim};
  for (int64_t mult : options_.dim_mults) widths.push_back(options_.dim * mult);
  const int64_t count = int64_t(options_.dim_mults.size());
  const auto add_resample = [&](const std::string& name, Level& level, int64_t width,
                                PlanarConvImpl::Kind kind) {
    level.resample = register_module(name, std::make_shared<PlanarConvImpl>(width, width, 4, kind));
  };
  for (int64_t i = 0; i < count; ++i) {
    downs_.push_back(make_level(fmt::format("down{}", i), widths[i], widths[i + 1], i));
    if (i + 1 < count) {
      add_resample(fmt::format("downsample{}", i), downs_.back(), widths[i + 1],
                   PlanarConvImpl::Kind::down);
    }
  }
  for (int64_t i = count; i-- > 0;) {
    ups_.push_back(make_level(fmt::format("up{}", i), 2 * widths[i + 1], widths[i], i));
    if (i > 0) {
      add_resample(fmt::format("upsample{}", i), ups_.back(), widths[i], PlanarConvImpl::Kind::up);
    }
  }
}

void Unet3dImpl::to(at::Device device, torch::Dtype type, bool non_blocking) {
  const auto kept = rotary_frequencies_.detach().clone();
  Module::to(device, type, non_blocking);
  rotary_frequencies_.set_data(kept.to(device));
}

void Unet3dImpl::to(torch::Dtype type, bool non_blocking) {
  to(rotary_frequencies_.device(), type, non_blocking);
}

int64_t Unet3dImpl::size_factor() const { return int64_t{1} << (options_.dim_mults.size() - 1); }

void Unet3dImpl::check_inputs(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond,
                              const at::Tensor& drop) const {
  require_shape(x, {-1, options_.in_channels, -1, -1, -1}, "Unet3D: x (B, C, D, H, W)");
  require_multiple(x.size(3), size_factor(), "Unet3D: H of x");
  require_multiple(x.size(4), size_factor(), "Unet3D: W of x");
  require_shape(t, {x.size(0)}, "Unet3D: t (B)");
  if (options_.cond_dim > 0) {
    require_shape(cond, {x.size(0), options_.cond_dim}, "Unet3D: cond (B, cond_dim)");
    if (drop.defined()) require_shape(drop, {x.size(0)}, "Unet3D: drop (B)");
  } else if (cond.defined()) {
    throw Error("Unet3D: the model has no condition (cond_dim 0), found one of shape " +
                shape_text(cond.sizes()));
  }
}

Condition Unet3dImpl::condition_of(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond,
                                   const at::Tensor& drop) {
  const auto type = time1_->weight.scalar_type();
  auto embedding = sinusoidal_embedding(t, options_.dim).to(type);
  embedding = time2_->forward(at::gelu(time1_->forward(embedding)));
  if (options_.cond_dim > 0) {
    auto own = cond.to(type);
    if (drop.defined()) own = at::where(drop.to(at::kBool).unsqueeze(1), null_cond_, own);
    embedding = at::cat({embedding, own}, 1);
  }
  return {at::silu(embedding), position_bias_->forward(x.size(2)),
          rotary_table(x.size(2), rotary_frequencies_)};
}

namespace {

// Each layer is recomputed by itself: what lies within one, above all q, k and v, is much larger
// than what lies between two.

at::Tensor run_block(const std::shared_ptr<ResnetBlockImpl>& block, const at::Tensor& x,
                     const at::Tensor& embedding) {
  return recomputed([block](const auto& in) { return block->forward(in[0], in[1]); },
                    {x, embedding});
}

at::Tensor run_spatial(const std::shared_ptr<SpatialAttentionImpl>& attention,
                       const at::Tensor& x) {
  if (!attention) return x;
  return recomputed([attention](const auto& in) { return attention->forward(in[0]); }, {x});
}

at::Tensor run_temporal(const std::shared_ptr<TemporalAttentionImpl>& attention,
                        const at::Tensor& x, const Condition& condition) {
  if (!attention) return x;
  return recomputed(
      [attention](const auto& in) {
        return attention->forward(in[0], {.position_bias = in[1], .rotation = in[2]});
      },
      {x, condition.position_bias, condition.rotation});
}

}  // namespace

at::Tensor Unet3dImpl::run_level(const Level& level, at::Tensor x,
                                 const Condition& condition) const {
  x = run_block(level.block1, x, condition.embedding);
  x = run_block(level.block2, x, condition.embedding);
  x = run_spatial(level.spatial_attention, x);
  return run_temporal(level.temporal_attention, x, condition);
}

at::Tensor Unet3dImpl::run(at::Tensor x, const Condition& condition) const {
  x = init_conv_->forward(x);
  const auto first = x;
  x = run_temporal(init_attention_, x, condition);
  std::vector<at::Tensor> skips;
  for (const auto& level : downs_) {
    x = run_level(level, x, condition);
    skips.push_back(x);
    if (level.resample) x = level.resample->forward(x);
  }
  x = run_block(mid_block1_, x, condition.embedding);
  x = run_spatial(mid_spatial_attention_, x);
  x = run_temporal(mid_temporal_attention_, x, condition);
  x = run_block(mid_block2_, x, condition.embedding);
  for (const auto& level : ups_) {
    x = at::cat({x, skips.back()}, 4);
    skips.pop_back();
    x = run_level(level, x, condition);
    if (level.resample) x = level.resample->forward(x);
  }
  x = run_block(final_block_, at::cat({x, first}, 4), {});
  return final_conv_->forward(x);
}

at::Tensor Unet3dImpl::condition(const at::Tensor& tokens) {
  if (!cond_projection_) return tokens;
  require_shape(tokens, {-1, options_.cond_tokens, options_.cond_dim},
                "Unet3D: tokens (B, cond_tokens, cond_dim)");
  return cond_projection_->forward(tokens.flatten(1).to(cond_projection_->weight.scalar_type()));
}

at::Tensor Unet3dImpl::forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond,
                               const at::Tensor& drop) {
  check_inputs(x, t, cond, drop);
  const auto y = run(x.permute({0, 2, 3, 4, 1}).contiguous(), condition_of(x, t, cond, drop));
  return y.permute({0, 4, 1, 2, 3}).contiguous();
}

void Unet3dImpl::start_from_zero() {
  at::NoGradGuard no_grad;
  for (auto& parameter : final_conv_->parameters()) parameter.zero_();
}

}  // namespace x2ctpa
