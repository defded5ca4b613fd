#include "x2ctpa/metrics/structure.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor gradient_magnitude(const at::Tensor& volume, const std::array<double, 3>& spacing_mm) {
  const auto slopes =
      at::gradient(volume.to(at::kFloat),
                   at::ArrayRef<at::Scalar>({spacing_mm[0], spacing_mm[1], spacing_mm[2]}),
                   at::IntArrayRef({0, 1, 2}));
  return (slopes[0].square() + slopes[1].square() + slopes[2].square()).sqrt_();
}

}  // namespace

GradientQuality gradient_quality(const at::Tensor& truth, const at::Tensor& image,
                                 const std::array<double, 3>& spacing_dhw_mm) {
  const bool long_enough =
      truth.dim() == 3 && truth.size(0) > 1 && truth.size(1) > 1 && truth.size(2) > 1;
  if (!long_enough || truth.sizes() != image.sizes()) {
    throw Error(
        fmt::format("gradients: expected two volumes (D, H, W) of one shape with 2 or more "
                    "voxels along each axis, found [{}] and [{}]",
                    fmt::join(truth.sizes(), ", "), fmt::join(image.sizes(), ", ")));
  }
  const at::Tensor a = gradient_magnitude(truth, spacing_dhw_mm),
                   b = gradient_magnitude(image, spacing_dhw_mm);
  return {(a - b).abs().mean(at::kDouble).item<double>(),
          b.mean(at::kDouble).item<double>() / a.mean(at::kDouble).item<double>()};
}

double dice(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) {
    throw Error(fmt::format("Dice: expected masks of one shape, found [{}] and [{}]",
                            fmt::join(a.sizes(), ", "), fmt::join(b.sizes(), ", ")));
  }
  const auto x = a != 0, y = b != 0;
  const double size = x.sum().item<double>() + y.sum().item<double>();
  if (size == 0) return std::numeric_limits<double>::quiet_NaN();
  return 2 * x.logical_and(y).sum().item<double>() / size;
}

}  // namespace x2ctpa
