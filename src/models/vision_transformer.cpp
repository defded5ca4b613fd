#include "x2ctpa/models/vision_transformer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <string>

#include "models/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

VisionTransformerOptions clip_vit_large() {
  return {.layout = VisionLayout::clip,
          .patch_size = 14,
          .width = 1024,
          .depth = 24,
          .heads = 16,
          .mlp_width = 4096,
          .output_dim = 0,
          .mean = {0.48145466, 0.4578275, 0.40821073},
          .std = {0.26862954, 0.26130258, 0.27577711}};
}

void VisionTransformerOptions::describe(OptionList& list) {
  list.add(
      "layout", &layout,
      "timm: BiomedCLIP's image tower; clip: transformers' CLIP; dinov2: transformers' DINOv2.");
  list.add("image_size", &image_size, "Side of the square picture, in pixels.", {.min = 1});
  list.add("patch_size", &patch_size, "Side of a patch, in pixels.", {.min = 1});
  list.add("width", &width, "Channels of a token.", {.min = 1});
  list.add("depth", &depth, "Transformer blocks.", {.min = 1});
  list.add("heads", &heads, "Attention heads.", {.min = 1});
  list.add("mlp_width", &mlp_width, "Channels inside a block's perceptron.", {.min = 1});
  list.add("output_dim", &output_dim, "Width of the projection of the class token; 0: none.",
           {.min = 0});
  list.add("mean", &mean, "Mean of the training X-rays in [0, 1], per channel.", {.count = 3});
  list.add("std", &std, "Their standard deviation, per channel.", {.min = 1e-6, .count = 3});
  list.add("positions_side", &positions_side,
           "With the layout dinov2: patches along a side of the picture that the positions were "
           "trained for, between which others are found; 0: those of image_size.",
           {.min = 0});
}

namespace {

using torch::nn::LayerNorm;
using torch::nn::Linear;

bool is_timm(const VisionTransformerOptions& o) { return o.layout == VisionLayout::timm; }
bool is_clip(const VisionTransformerOptions& o) { return o.layout == VisionLayout::clip; }

LayerNorm layer_norm(const VisionTransformerOptions& o) {
  return LayerNorm(torch::nn::LayerNormOptions({o.width}).eps(is_clip(o) ? 1e-5 : 1e-6));
}

// A child module that only carries a part of the names.
torch::nn::Module& name_part(torch::nn::Module& parent, const std::string& name) {
  return *parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

// Attention and perceptron, each after a norm and added to its input; DINOv2 scales both first.
class BlockImpl : public torch::nn::Module {
 public:
  explicit BlockImpl(const VisionTransformerOptions& o) : heads_(o.heads), clip_(is_clip(o)) {
    const int64_t width = o.width;
    norm1_ = register_module(clip_ ? "layer_norm1" : "norm1", layer_norm(o));
    make_attention(o);
    norm2_ = register_module(clip_ ? "layer_norm2" : "norm2", layer_norm(o));
    auto& perceptron = name_part(*this, "mlp");
    fc1_ = perceptron.register_module("fc1", Linear(width, o.mlp_width));
    fc2_ = perceptron.register_module("fc2", Linear(o.mlp_width, width));
    if (o.layout != VisionLayout::dinov2) return;
    scale1_ = name_part(*this, "layer_scale1").register_parameter("lambda1", at::ones({width}));
    scale2_ = name_part(*this, "layer_scale2").register_parameter("lambda1", at::ones({width}));
  }

  // (B, tokens, width).
  at::Tensor forward(const at::Tensor& x) {
    const auto y = x + scaled(attend(norm1_->forward(x)), scale1_);
    return y + scaled(fc2_->forward(activate(fc1_->forward(norm2_->forward(y)))), scale2_);
  }

 private:
  void make_attention(const VisionTransformerOptions& o) {
    const int64_t width = o.width;
    const auto layer = [width](torch::nn::Module& parent, const std::string& name) {
      return parent.register_module(name, Linear(width, width));
    };
    if (o.layout == VisionLayout::timm) {
      auto& attention = name_part(*this, "attn");
      qkv_ = attention.register_module("qkv", Linear(width, 3 * width));
      out_ = layer(attention, "proj");
    } else if (clip_) {
      auto& attention = name_part(*this, "self_attn");
      q_ = layer(attention, "q_proj");
      k_ = layer(attention, "k_proj");
      v_ = layer(attention, "v_proj");
      out_ = layer(attention, "out_proj");
    } else {
      auto& attention = name_part(*this, "attention");
      auto& inner = name_part(attention, "attention");
      q_ = layer(inner, "query");
      k_ = layer(inner, "key");
      v_ = layer(inner, "value");
      out_ = layer(name_part(attention, "output"), "dense");
    }
  }

  at::Tensor attend(const at::Tensor& x) {
    std::vector<at::Tensor> qkv;
    if (qkv_) {
      qkv = qkv_->forward(x).chunk(3, 2);
    } else {
      qkv = {q_->forward(x), k_->forward(x), v_->forward(x)};
    }
    for (auto& part : qkv) part = part.unflatten(2, {heads_, -1}).transpose(1, 2);
    const auto h = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return out_->forward(h.transpose(1, 2).flatten(2));
  }

  static at::Tensor scaled(const at::Tensor& x, const at::Tensor& scale) {
    return scale.defined() ? x * scale : x;
  }

  // GELU; CLIP's is the quick one.
  at::Tensor activate(const at::Tensor& x) const {
    return clip_ ? x * at::sigmoid(1.702 * x) : at::gelu(x);
  }

  int64_t heads_;
  bool clip_;
  LayerNorm norm1_{nullptr}, norm2_{nullptr};
  Linear qkv_{nullptr}, q_{nullptr}, k_{nullptr}, v_{nullptr}, out_{nullptr};
  Linear fc1_{nullptr}, fc2_{nullptr};
  at::Tensor scale1_, scale2_;
};
TORCH_MODULE(Block);

void check_options(const VisionTransformerOptions& o) {
  require_multiple(o.image_size, o.patch_size, "vision transformer: image_size");
  require_multiple(o.width, o.heads, "vision transformer: width");
  if (!is_timm(o) && o.output_dim != 0) {
    throw Error(fmt::format(
        "vision transformer: the layout {} has no projection; expected output_dim 0, found {}",
        o.layout, o.output_dim));
  }
  if (o.layout != VisionLayout::dinov2 && o.positions_side != 0) {
    throw Error(
        fmt::format("vision transformer: the layout {} has the positions of image_size; expected "
                    "positions_side 0, found {}",
                    o.layout, o.positions_side));
  }
}

torch::nn::Conv2d patch_convolution(const VisionTransformerOptions& o, bool bias) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(3, o.width, o.patch_size).stride(o.patch_size).bias(bias));
}

int64_t token_count(const VisionTransformerOptions& o) {
  const int64_t side = o.positions_side > 0 ? o.positions_side : o.image_size / o.patch_size;
  return side * side + 1;
}

// Positions (1, 1 + N, width) of the class and of N patches in a square -> those of `side` x `side`
// patches, as transformers finds them: bicubic, the corners of both squares in the same place.
at::Tensor positions_for(const at::Tensor& positions, int64_t stored_side, int64_t side) {
  if (stored_side == side) return positions;
  const int64_t width = positions.size(2);
  const auto square = positions.narrow(1, 1, stored_side * stored_side)
                          .view({1, stored_side, stored_side, width})
                          .permute({0, 3, 1, 2});
  const auto found = at::upsample_bicubic2d(square, {side, side}, /*align_corners=*/false);
  return at::cat({positions.narrow(1, 0, 1), found.flatten(2).transpose(1, 2)}, 1);
}

}  // namespace

VisionTransformerImpl::VisionTransformerImpl(VisionTransformerOptions options)
    : options_(std::move(options)) {
  check_options(options_);
  for (int64_t i = 0; i < options_.depth; ++i) blocks_->push_back(Block(options_));
  if (is_timm(options_)) {
    make_timm();
  } else if (is_clip(options_)) {
    make_clip();
  } else {
    make_dinov2();
  }
}

void VisionTransformerImpl::make_timm() {
  const auto& o = options_;
  auto& trunk = name_part(*this, "trunk");
  class_token_ = trunk.register_parameter("cls_token", 0.02 * at::randn({1, 1, o.width}));
  positions_ =
      trunk.register_parameter("pos_embed", 0.02 * at::randn({1, token_count(o), o.width}));
  patches_ = name_part(trunk, "patch_embed").register_module("proj", patch_convolution(o, true));
  trunk.register_module("blocks", blocks_);
  last_norm_ = trunk.register_module("norm", layer_norm(o));
  if (o.output_dim > 0) {
    projection_ =
        name_part(*this, "head")
            .register_module("proj",
                             Linear(torch::nn::LinearOptions(o.width, o.output_dim).bias(false)));
  }
}

void VisionTransformerImpl::make_clip() {
  const auto& o = options_;
  auto& model = name_part(*this, "vision_model");
  auto& embeddings = name_part(model, "embeddings");
  class_token_ = embeddings.register_parameter("class_embedding", 0.02 * at::randn({o.width}));
  patches_ = embeddings.register_module("patch_embedding", patch_convolution(o, false));
  positions_ = name_part(embeddings, "position_embedding")
                   .register_parameter("weight", 0.02 * at::randn({token_count(o), o.width}));
  first_norm_ = model.register_module("pre_layrnorm", layer_norm(o));  // so spelled when published
  name_part(model, "encoder").register_module("layers", blocks_);
  last_norm_ = model.register_module("post_layernorm", layer_norm(o));
}

void VisionTransformerImpl::make_dinov2() {
  const auto& o = options_;
  auto& embeddings = name_part(*this, "embeddings");
  class_token_ = embeddings.register_parameter("cls_token", 0.02 * at::randn({1, 1, o.width}));
  positions_ = embeddings.register_parameter("position_embeddings",
                                             0.02 * at::randn({1, token_count(o), o.width}));
  patches_ = name_part(embeddings, "patch_embeddings")
                 .register_module("projection", patch_convolution(o, true));
  name_part(*this, "encoder").register_module("layer", blocks_);
  last_norm_ = register_module("layernorm", layer_norm(o));
}

VisionFeatures VisionTransformerImpl::forward(const at::Tensor& x) {
  require_shape(x, {-1, 3, options_.image_size, options_.image_size},
                "vision transformer: picture (B, 3, S, S)");
  const auto patches = patches_->forward(x).flatten(2).transpose(1, 2);
  const auto first = class_token_.view({1, 1, -1}).expand({x.size(0), -1, -1});
  const int64_t side = options_.image_size / options_.patch_size;
  const auto positions = options_.positions_side > 0
                             ? positions_for(positions_, options_.positions_side, side)
                             : positions_;
  auto tokens = at::cat({first, patches}, 1) + positions;
  if (first_norm_) tokens = first_norm_->forward(tokens);
  for (const auto& block : *blocks_) tokens = block->as<Block>()->forward(tokens);
  if (!is_clip(options_)) tokens = last_norm_->forward(tokens);
  auto pooled = tokens.select(1, 0);
  if (is_clip(options_)) pooled = last_norm_->forward(pooled);
  return {tokens, projection_ ? projection_->forward(pooled) : pooled};
}

at::Tensor VisionTransformerImpl::prepare(const at::Tensor& cxr) const {
  require_shape(cxr, {-1, 1, -1, -1}, "vision transformer: X-ray (B, 1, H, W)");
  const int64_t side = options_.image_size;
  const auto channel = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kFloat).view({1, 3, 1, 1}).to(cxr.options());
  };
  const auto grey =
      options_.layout == VisionLayout::dinov2
          ? at::_upsample_bicubic2d_aa(cxr, {side, side}, /*align_corners=*/false).clamp(0, 1)
          : at::_upsample_bilinear2d_aa(cxr, {side, side}, /*align_corners=*/false);
  return (grey - channel(options_.mean)) / channel(options_.std);
}

VisionFeatures VisionTransformerImpl::find(const at::Tensor& cxr) {
  auto found = forward(prepare(cxr));
  found.pooled = unit_length(found.pooled);
  return found;
}

at::Tensor unit_length(const at::Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef({-1}), /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace x2ctpa
