#include "x2ctpa/models/volume_refiner.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/normalization.h>

#include <string>
#include <vector>

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

// The plane through the centre that a view looks at, `detail` times as fine as the volume.
BackProjection plane_of(BackProjectionGeometry geometry, const std::array<int64_t, 3>& grid_dhw,
                        int64_t detail) {
  for (double& spacing : geometry.spacing_xyz_mm) spacing /= double(detail);
  const auto [d, h, w] = grid_dhw;
  if (geometry.view == CxrView::frontal) return {geometry, {d * detail, 1, w * detail}};
  return {geometry, {d * detail, h * detail, 1}};
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
  list.add("views", &views, "The X-rays that it is given; those of the denoiser.", {},
           std::string(word_of(CxrViews::frontal)));
  list.add("lateral_mean", &lateral_mean, "Mean of the lateral training X-rays, in [0, 1].",
           {.min = 0, .max = 1, .unwritten_at = "0.5"});
  list.add("lateral_std", &lateral_std, "Standard deviation of the lateral training X-rays.",
           {.min = 1e-6, .unwritten_at = "0.25"});
}

VolumeRefinerImpl::VolumeRefinerImpl(VolumeRefinerOptions options, std::array<int64_t, 3> grid_dhw,
                                     const ViewBeams& geometry)
    : options_(options) {
  for (const auto& beam : geometry.beams)
    planes_.push_back(plane_of(beam, grid_dhw, options.detail));
  const int64_t columns = grid_dhw[1] * fold * fold, width = options.width;
  const int64_t pixels = options.detail * options.detail * fold * fold;
  const int64_t depths =
      planes_.size() > 1 ? grid_dhw[1] * options.detail * options.detail * fold * fold : 0;
  in_ = register_module("in", Conv2d(Conv2dOptions(columns + pixels + depths, width, 1)));
  outer_ = register_module("outer", refiner_blocks(options.blocks, width));
  down_ = register_module("down", Conv2d(Conv2dOptions(4 * width, options.inner_width, 1)));
  inner_ = register_module("inner", refiner_blocks(options.blocks, options.inner_width));
  up_ = register_module("up", Conv2d(Conv2dOptions(options.inner_width, 4 * width, 1)));
  last_ = register_module("last", refiner_blocks(options.blocks, width));
  out_ = register_module("out", Conv2d(Conv2dOptions(width, columns, 3).padding(1)));
  torch::nn::init::zeros_(out_->weight);
  torch::nn::init::zeros_(out_->bias);
}

at::Tensor VolumeRefinerImpl::pixels_of(const at::Tensor& cxr, int64_t v) const {
  require_shape(cxr, {-1, int64_t(planes_.size()), -1, -1}, "refiner: X-rays (B, V, S, S)");
  const double mean = v == 0 ? options_.cxr_mean : options_.lateral_mean;
  const double std = v == 0 ? options_.cxr_std : options_.lateral_std;
  // Detector coordinates need more digits than bfloat16 has.
  const auto standardised = (cxr.narrow(1, v, 1).to(at::kFloat) - mean) / std;
  return planes_[size_t(v)](planes_.size() == 1 ? standardised : standardised.nan_to_num(0));
}

at::Tensor VolumeRefinerImpl::forward(const at::Tensor& volume, const at::Tensor& cxr) {
  require_shape(volume, {-1, 1, -1, -1, -1}, "refiner: volumes (B, 1, D, H, W)");
  const int64_t d = volume.size(2), w = volume.size(4);
  const auto columns = padded(volume.squeeze(1).transpose(1, 2));  // (B, H, D, W)
  std::vector<at::Tensor> seen{
      columns, padded(at::pixel_unshuffle(pixels_of(cxr, 0).squeeze(3), options_.detail))
                   .to(volume.scalar_type())};
  if (planes_.size() > 1) {
    const auto rows = at::pixel_unshuffle(pixels_of(cxr, 1).squeeze(4), options_.detail);
    // (B, detail^2, D, H): each row goes to every place at its height.
    const auto depths = rows.transpose(2, 3).flatten(1, 2).unsqueeze(3).expand({-1, -1, -1, w});
    seen.push_back(padded(depths).to(volume.scalar_type()));
  }
  const auto plane = at::pixel_unshuffle(at::cat(seen, 1), fold);
  const auto outer = outer_->forward(in_->forward(plane));
  const auto inner = inner_->forward(down_->forward(at::pixel_unshuffle(outer, 2)));
  const auto last = last_->forward(outer + at::pixel_shuffle(up_->forward(inner), 2));
  const auto change = at::pixel_shuffle(out_->forward(last), fold).slice(2, 0, d).slice(3, 0, w);
  return volume + change.transpose(1, 2).unsqueeze(1);
}

}  // namespace x2ctpa
