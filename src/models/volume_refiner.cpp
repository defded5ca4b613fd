#include "x2ctpa/models/volume_refiner.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/normalization.h>

#include "models/checks.h"

namespace x2ctpa {
namespace {

using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

constexpr int64_t norm_groups = 8;

// x plus norm, SiLU, convolution, twice; x itself before training.
class RefinerBlockImpl : public torch::nn::Module {
 public:
  explicit RefinerBlockImpl(int64_t width) {
    const int64_t groups = fitting_groups(width, norm_groups);
    norm_ = register_module("norm", torch::nn::GroupNorm(groups, width));
    first_ = register_module("first", Conv2d(Conv2dOptions(width, width, 3).padding(1)));
    second_ = register_module("second", Conv2d(Conv2dOptions(width, width, 3).padding(1)));
    torch::nn::init::zeros_(second_->weight);
    torch::nn::init::zeros_(second_->bias);
  }
  at::Tensor forward(const at::Tensor& x) {
    return x + second_->forward(at::silu(first_->forward(at::silu(norm_->forward(x)))));
  }

 private:
  torch::nn::GroupNorm norm_{nullptr};
  Conv2d first_{nullptr}, second_{nullptr};
};
TORCH_MODULE(RefinerBlock);

torch::nn::Sequential refiner_blocks(int64_t count, int64_t width) {
  torch::nn::Sequential blocks;
  for (int64_t i = 0; i < count; ++i) blocks->push_back(RefinerBlock(width));
  return blocks;
}

// The frontal plane through the centre, `detail` times as fine as the volume.
BackProjection frontal_plane(BackProjectionGeometry geometry,
                             const std::array<int64_t, 3>& grid_dhw, int64_t detail) {
  for (double& spacing : geometry.spacing_xyz_mm) spacing /= double(detail);
  return {geometry, {grid_dhw[0] * detail, 1, grid_dhw[2] * detail}};
}

// The plane is halved twice: once for all, once inside.
constexpr int64_t fold = 2;

at::Tensor padded(const at::Tensor& x) {
  const auto missing = [](int64_t size) { return (2 * fold - size % (2 * fold)) % (2 * fold); };
  return at::constant_pad_nd(x, {0, missing(x.size(3)), 0, missing(x.size(2))});
}

}  // namespace

void VolumeRefinerOptions::describe(OptionList& list) {
  list.add("width", &width, "Channels of the refiner.", {.min = 1});
  list.add("inner_width", &inner_width, "Channels on its coarser level.", {.min = 1});
  list.add("blocks", &blocks, "Residual blocks in each of its three parts.", {.min = 1, .max = 64});
  list.add("detail", &detail, "Points at which it reads the X-ray per voxel and axis.",
           {.min = 1, .max = 8});
  list.add("cxr_mean", &cxr_mean, "Mean of the training X-rays, in [0, 1].", {.min = 0, .max = 1});
  list.add("cxr_std", &cxr_std, "Standard deviation of the training X-rays.", {.min = 1e-6});
}

VolumeRefinerImpl::VolumeRefinerImpl(VolumeRefinerOptions options, std::array<int64_t, 3> grid_dhw,
                                     const BackProjectionGeometry& geometry)
    : options_(options), frontal_(frontal_plane(geometry, grid_dhw, options.detail)) {
  const int64_t columns = grid_dhw[1] * fold * fold, width = options.width;
  const int64_t pixels = options.detail * options.detail * fold * fold;
  in_ = register_module("in", Conv2d(Conv2dOptions(columns + pixels, width, 1)));
  outer_ = register_module("outer", refiner_blocks(options.blocks, width));
  down_ = register_module("down", Conv2d(Conv2dOptions(4 * width, options.inner_width, 1)));
  inner_ = register_module("inner", refiner_blocks(options.blocks, options.inner_width));
  up_ = register_module("up", Conv2d(Conv2dOptions(options.inner_width, 4 * width, 1)));
  last_ = register_module("last", refiner_blocks(options.blocks, width));
  out_ = register_module("out", Conv2d(Conv2dOptions(width, columns, 3).padding(1)));
  torch::nn::init::zeros_(out_->weight);
  torch::nn::init::zeros_(out_->bias);
}

at::Tensor VolumeRefinerImpl::forward(const at::Tensor& volume, const at::Tensor& cxr) {
  require_shape(volume, {-1, 1, -1, -1, -1}, "refiner: volumes (B, 1, D, H, W)");
  const int64_t d = volume.size(2), w = volume.size(4);
  const auto columns = padded(volume.squeeze(1).transpose(1, 2));  // (B, H, D, W)
  // Detector coordinates need more digits than bfloat16 has.
  const auto standardised = (cxr.to(at::kFloat) - options_.cxr_mean) / options_.cxr_std;
  const auto pixels =
      padded(at::pixel_unshuffle(frontal_(standardised).squeeze(3), options_.detail));
  const auto plane =
      at::pixel_unshuffle(at::cat({columns, pixels.to(volume.scalar_type())}, 1), fold);
  const auto outer = outer_->forward(in_->forward(plane));
  const auto inner = inner_->forward(down_->forward(at::pixel_unshuffle(outer, 2)));
  const auto last = last_->forward(outer + at::pixel_shuffle(up_->forward(inner), 2));
  const auto change = at::pixel_shuffle(out_->forward(last), fold).slice(2, 0, d).slice(3, 0, w);
  return volume + change.transpose(1, 2).unsqueeze(1);
}

}  // namespace x2ctpa
