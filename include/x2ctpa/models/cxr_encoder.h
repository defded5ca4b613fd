// A small trainable encoder of the chest X-ray: a global embedding, and a feature map for
// back-projection (top-down sum as in feature pyramids, arXiv 1612.03144).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct CxrEncoderOptions {
  int64_t width = 16;
  int64_t max_width = 256;
  int64_t stages = 5;
  int64_t feature_stage = 2;
  int64_t feature_channels = 8;
  int64_t embedding_dim = 128;
  int64_t groups = 8;
  double mean = 0.5;
  double std = 0.25;

  void describe(OptionList& options);
};

struct CxrFeatures {
  at::Tensor embedding;  ///< (B, embedding_dim)
  at::Tensor map;        ///< (B, feature_channels, S / 2^feature_stage, the same)
};

class CxrEncoderImpl : public torch::nn::Module {
 public:
  /// Throws Error when feature_stage lies outside 1 to stages.
  explicit CxrEncoderImpl(CxrEncoderOptions options = {});

  /// X-ray (B, 1, S, S) in [0, 1], S a multiple of 2^stages.
  CxrFeatures forward(const at::Tensor& cxr);

  const CxrEncoderOptions& options() const { return options_; }

 private:
  CxrEncoderOptions options_;
  torch::nn::ModuleList stages_;
  torch::nn::Conv2d lateral_{nullptr}, top_{nullptr}, smooth_{nullptr};
  torch::nn::Linear head_{nullptr};
};
TORCH_MODULE(CxrEncoder);

}  // namespace x2ctpa
