// The 3D denoising U-Net of the paper (X-ray2CTPA, after video diffusion, arXiv 2204.03458):
// convolutions within slices, linear attention within slices, attention along D.
//
// Tensors are (B, C, D, H, W); inside, the byte order is (B, D, H, W, C).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct Unet3dOptions {
  int64_t in_channels = 4;
  int64_t out_channels = 4;
  int64_t dim = 32;
  std::vector<int64_t> dim_mults{1, 2, 4, 8};
  int64_t cond_dim = 512;
  int64_t cond_tokens = 0;
  int64_t attention_heads = 8;
  int64_t norm_groups = 8;
  int64_t init_kernel = 7;
  std::vector<int64_t> without_spatial_attention;
  std::vector<int64_t> without_temporal_attention;

  void describe(OptionList& options);
};

namespace unet3d {
class PlanarConvImpl;
class ResnetBlockImpl;
class SpatialAttentionImpl;
class TemporalAttentionImpl;
class PositionBiasImpl;
struct Condition;
}  // namespace unet3d

class Unet3dImpl : public torch::nn::Module {
 public:
  explicit Unet3dImpl(Unet3dOptions options = {});

  /// The prediction (B, out_channels, D, H, W) for x (B, in_channels, D, H, W) at timesteps t (B),
  /// integer or real, under cond (B, cond_dim); `drop` (B) bool puts the learned null condition in
  /// the place of a sample's own, as for guidance. H and W must be multiples of size_factor().
  /// Differentiable; under NoGradGuard it works in place and needs less memory.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond = {},
                     const at::Tensor& drop = {});

  /// The condition (B, cond_dim) of tokens (B, cond_tokens, cond_dim), as from CLIP's vision
  /// transformer: all of them through one linear layer. Once a sample, not once a step. Without
  /// cond_tokens a condition is returned as it came.
  at::Tensor condition(const at::Tensor& tokens);

  /// H and W of the latent must be multiples of this: 2 to the power of the levels less one.
  int64_t size_factor() const;

  /// Makes the last convolution, and with it every prediction, 0.
  void start_from_zero();

  /// As Module's; the rotary frequencies stay float32, since bfloat16 would turn far slices
  /// wrongly.
  void to(torch::Device device, torch::Dtype type, bool non_blocking = false) override;
  void to(torch::Dtype type, bool non_blocking = false) override;
  using torch::nn::Module::to;

  const Unet3dOptions& options() const { return options_; }

 private:
  struct Level {
    std::shared_ptr<unet3d::ResnetBlockImpl> block1, block2;
    std::shared_ptr<unet3d::SpatialAttentionImpl> spatial_attention;    // may be null
    std::shared_ptr<unet3d::TemporalAttentionImpl> temporal_attention;  // may be null
    std::shared_ptr<unet3d::PlanarConvImpl> resample;                   // null at the last level
  };

  Level make_level(const std::string& name, int64_t in, int64_t out, int64_t index);
  void make_levels();
  at::Tensor run_level(const Level& level, at::Tensor x, const unet3d::Condition& condition) const;
  unet3d::Condition condition_of(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond,
                                 const at::Tensor& drop);
  at::Tensor run(at::Tensor x, const unet3d::Condition& condition) const;
  void check_inputs(const at::Tensor& x, const at::Tensor& t, const at::Tensor& cond,
                    const at::Tensor& drop) const;

  Unet3dOptions options_;
  at::Tensor null_cond_, rotary_frequencies_;
  std::shared_ptr<unet3d::PositionBiasImpl> position_bias_;
  torch::nn::Linear time1_{nullptr}, time2_{nullptr}, cond_projection_{nullptr};
  std::shared_ptr<unet3d::PlanarConvImpl> init_conv_, final_conv_;
  std::shared_ptr<unet3d::TemporalAttentionImpl> init_attention_, mid_temporal_attention_;
  std::shared_ptr<unet3d::SpatialAttentionImpl> mid_spatial_attention_;
  std::shared_ptr<unet3d::ResnetBlockImpl> mid_block1_, mid_block2_, final_block_;
  std::vector<Level> downs_, ups_;
};
TORCH_MODULE(Unet3d);

}  // namespace x2ctpa
