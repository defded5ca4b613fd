#include "models/kernels/fixed_order.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace x2ctpa::fixed_order {
namespace {

// (size, count): row i of the product with it is resampled bilinearly from `count` to `size`
// pixels.
at::Tensor bilinear_weights(int64_t count, int64_t size, const at::TensorOptions& options) {
  const auto unit = at::eye(count, at::kFloat).view({1, 1, count, count});
  return at::upsample_bilinear2d(unit, {size, count}, /*align_corners=*/false)[0][0].to(options);
}

}  // namespace

bool wanted(const at::Tensor& x) {
  return at::globalContext().deterministicAlgorithms() && at::GradMode::is_enabled() && !x.is_cpu();
}

at::Tensor replication_pad3d(at::Tensor x, at::IntArrayRef padding) {
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t axis = 4 - i, before = padding[size_t(2 * i)], after = padding[size_t(2 * i + 1)];
    std::vector<at::Tensor> parts(size_t(before), x.narrow(axis, 0, 1));
    parts.push_back(x);
    parts.insert(parts.end(), size_t(after), x.narrow(axis, x.size(axis) - 1, 1));
    if (parts.size() > 1) x = at::cat(parts, axis);
  }
  return x;
}

at::Tensor avg_pool3d(const at::Tensor& x, at::IntArrayRef kernel) {
  at::Tensor whole = x;
  std::vector<int64_t> blocks{x.size(0), x.size(1)};
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t count = x.size(2 + i) / kernel[size_t(i)];
    whole = whole.narrow(2 + i, 0, count * kernel[size_t(i)]);
    blocks.insert(blocks.end(), {count, kernel[size_t(i)]});
  }
  return whole.reshape(blocks).mean({3, 5, 7});
}

at::Tensor max_pool3d(const at::Tensor& x, at::IntArrayRef kernel, at::IntArrayRef stride,
                      at::IntArrayRef padding) {
  const int64_t planes = x.size(0) * x.size(1), voxels = x.size(2) * x.size(3) * x.size(4);
  const auto [values, winners] = at::max_pool3d_with_indices(x.detach(), kernel, stride, padding);
  const auto first = at::arange(planes, winners.options()).mul_(voxels).unsqueeze(1);
  const auto places = (winners.reshape({planes, -1}) + first).flatten();
  return x.reshape({-1}).index_select(0, places).view(values.sizes());
}

at::Tensor upsample_bilinear2d(const at::Tensor& x, at::IntArrayRef size) {
  const auto rows = bilinear_weights(x.size(2), size[0], x.options());
  const auto columns = bilinear_weights(x.size(3), size[1], x.options());
  return at::matmul(at::matmul(rows, x), columns.t());
}

at::Tensor grid_sampler_2d(const at::Tensor& x, const at::Tensor& places) {
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto rows = x.permute({0, 2, 3, 1}).reshape({batch * height * width, channels});
  const auto first =
      at::arange(batch, places.options().dtype(at::kLong)).mul_(height * width).view({batch, 1, 1});
  // Pixel i of n covers the coordinates from 2 i / n - 1 to 2 (i + 1) / n - 1.
  const auto column = ((places.select(3, 0) + 1) * width - 1) / 2,
             row = ((places.select(3, 1) + 1) * height - 1) / 2;
  const auto left = column.detach().floor(), top = row.detach().floor();
  at::Tensor sum;
  for (const int64_t down : {0, 1}) {
    for (const int64_t right : {0, 1}) {
      const auto i = top + down, j = left + right;
      const auto inside =
          (i >= 0).logical_and(i < height).logical_and(j >= 0).logical_and(j < width);
      const auto index = first + i.clamp(0, height - 1).to(at::kLong) * width +
                         j.clamp(0, width - 1).to(at::kLong);
      const auto share =
          (1 - (row - i).abs()) * (1 - (column - j).abs()) * inside.to(x.scalar_type());
      const auto part = rows.index_select(0, index.flatten()) * share.flatten().unsqueeze(1);
      sum = sum.defined() ? sum + part : part;
    }
  }
  return sum.view({batch, places.size(1), places.size(2), channels}).permute({0, 3, 1, 2});
}

}  // namespace x2ctpa::fixed_order
