// The vision transformer (Dosovitskiy et al., arXiv 2010.11929) that encodes chest X-rays, in three
// layouts: timm, the image tower of BiomedCLIP (arXiv 2303.00915) with its linear projection; clip,
// transformers' CLIPVisionModel (arXiv 2103.00020); and dinov2, transformers' Dinov2Model (arXiv
// 2304.07193), as which RAD-DINO (arXiv 2401.10815) is published. The tensor names are those of the
// published weights.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

enum class VisionLayout { timm, clip, dinov2 };
constexpr auto words(VisionLayout) { return std::array{"timm", "clip", "dinov2"}; }

struct VisionTransformerOptions {
  VisionLayout layout = VisionLayout::timm;
  int64_t image_size = 224;
  int64_t patch_size = 16;
  int64_t width = 768;
  int64_t depth = 12;
  int64_t heads = 12;
  int64_t mlp_width = 3072;
  int64_t output_dim = 512;
  std::vector<double> mean{0.633, 0.633, 0.633};
  std::vector<double> std{0.181, 0.181, 0.181};
  int64_t positions_side = 0;

  void describe(OptionList& options);
};

/// CLIP ViT-L/14 (openai/clip-vit-large-patch14). The defaults above are BiomedCLIP's ViT-B/16.
VisionTransformerOptions clip_vit_large();

struct VisionFeatures {
  at::Tensor tokens;  ///< (B, 1 + patches, width): after the last norm, with clip before it
  at::Tensor pooled;  ///< of the class token after the last norm: (B, output_dim), or width if 0
};

class VisionTransformerImpl : public torch::nn::Module {
 public:
  /// Throws Error when patch_size does not divide image_size, or heads width, and for a projection
  /// with a layout that has none.
  explicit VisionTransformerImpl(VisionTransformerOptions options = {});

  /// Standardised pictures (B, 3, image_size, image_size).
  VisionFeatures forward(const at::Tensor& x);

  /// X-rays (B, 1, H, W) in [0, 1] -> forward()'s input: resized (antialiased; bilinear, with
  /// dinov2 bicubic) to image_size, repeated to three channels, standardised by `mean` and `std`.
  at::Tensor prepare(const at::Tensor& cxr) const;

  /// What it finds in X-rays (B, 1, H, W) in [0, 1]: forward(prepare(cxr)) with `pooled`, the
  /// paper's condition, at length 1. All `tokens` are the condition of the paper's CLIP variant.
  VisionFeatures find(const at::Tensor& cxr);

  /// find(cxr).pooled, (B, output_dim), and find(cxr).tokens, (B, 1 + patches, width).
  at::Tensor embed(const at::Tensor& cxr) { return find(cxr).pooled; }
  at::Tensor tokens(const at::Tensor& cxr) { return find(cxr).tokens; }

  const VisionTransformerOptions& options() const { return options_; }

 private:
  void make_timm();
  void make_clip();
  void make_dinov2();

  VisionTransformerOptions options_;
  at::Tensor class_token_, positions_;
  torch::nn::Conv2d patches_{nullptr};
  torch::nn::LayerNorm first_norm_{nullptr}, last_norm_{nullptr};
  torch::nn::ModuleList blocks_;
  torch::nn::Linear projection_{nullptr};
};
TORCH_MODULE(VisionTransformer);

/// Rows of length 1: x / |x| along the last axis.
at::Tensor unit_length(const at::Tensor& x);

}  // namespace x2ctpa
