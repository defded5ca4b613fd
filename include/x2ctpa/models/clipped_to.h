// A range of values seen as the whole.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// x within [low, high], which becomes [-1, 1], so that a part of the window weighs as the whole.
/// In x's precision, half precision in float32; differentiable.
at::Tensor clipped_to(const at::Tensor& x, double low, double high);

}  // namespace x2ctpa
