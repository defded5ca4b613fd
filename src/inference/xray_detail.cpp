#include "inference/xray_detail.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace x2ctpa {

at::Tensor xray_detail(const at::Tensor& picture) {
  const double sigma = double(picture.size(0)) / 16;
  const int64_t radius = std::max<int64_t>(1, std::llround(2 * sigma));
  const auto x = at::arange(-radius, radius + 1, picture.options());
  auto kernel = (-x.square() / (2 * sigma * sigma)).exp();
  kernel = kernel / kernel.sum();
  auto slow = at::replication_pad2d(picture.view({1, 1, picture.size(0), picture.size(1)}),
                                    {radius, radius, radius, radius});
  slow = at::conv2d(slow, kernel.view({1, 1, 1, -1}));
  slow = at::conv2d(slow, kernel.view({1, 1, -1, 1}));
  return picture - slow[0][0];
}

DrrOptions rendering_for(const DatasetInfo& info, int64_t size, CxrView view) {
  DrrOptions options;
  options.size = size;
  options.geometry = info.geometry;
  if (view == CxrView::lateral) {
    options.view = BeamView::lateral;
    options.geometry = info.geometry.lateral(info.lateral_source_to_centre_mm);
  }
  return options;
}

at::Tensor crossed_by_rays(const at::Tensor& lines) { return lines > 0.05 * lines.max(); }

}  // namespace x2ctpa
