#include "x2ctpa/models/clipped_to.h"

#include <ATen/ATen.h>
#include <c10/core/ScalarType.h>

namespace x2ctpa {

at::Tensor clipped_to(const at::Tensor& x, double low, double high) {
  const auto exact = at::isReducedFloatingType(x.scalar_type()) ? x.to(at::kFloat) : x;
  return (exact.clamp(low, high) - low) * (2 / (high - low)) - 1;
}

}  // namespace x2ctpa
