// Moves the edges of a generated volume to where its X-ray shows them: a small 2D U-Net over the
// frontal plane, at half its resolution. The depth of the volume lies in the channels, since an
// X-ray has no more places than the frontal plane, and 2D convolutions cost a fraction of 3D ones.
// A lateral X-ray says how deep edges lie at each height: its row at a height joins the channels of
// every place at that height.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cstdint>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/models/back_projection.h"

namespace x2ctpa {

struct VolumeRefinerOptions {
  int64_t width = 96;
  int64_t inner_width = 160;
  int64_t blocks = 2;
  int64_t detail = 2;
  double cxr_mean = 0.5;  ///< of the training X-rays, in [0, 1]
  double cxr_std = 0.25;
  CxrViews views = CxrViews::frontal;
  double lateral_mean = 0.5;
  double lateral_std = 0.25;

  void describe(OptionList& options);
};

class VolumeRefinerImpl : public torch::nn::Module {
 public:
  /// `geometry` is that of the volume's grid `grid_dhw`, a beam for each of options.views. Changes
  /// nothing before it is trained.
  VolumeRefinerImpl(VolumeRefinerOptions options, std::array<int64_t, 3> grid_dhw,
                    const ViewBeams& geometry);

  /// Volumes (B, 1, D, H, W) in [-1, 1] and their X-rays (B, V, S, S) in [0, 1] to volumes.
  at::Tensor forward(const at::Tensor& volume, const at::Tensor& cxr);

  const VolumeRefinerOptions& options() const { return options_; }

 private:
  VolumeRefinerOptions options_;
  /// The standardised pixels of view `v` in its plane, zero where it is missing.
  at::Tensor pixels_of(const at::Tensor& cxr, int64_t v) const;

  std::vector<BackProjection> planes_;  // of each view
  torch::nn::Conv2d in_{nullptr}, down_{nullptr}, up_{nullptr}, out_{nullptr};
  torch::nn::Sequential outer_{nullptr}, inner_{nullptr}, last_{nullptr};
};
TORCH_MODULE(VolumeRefiner);

}  // namespace x2ctpa
