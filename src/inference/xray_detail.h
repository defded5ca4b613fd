// What two X-rays are compared by.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// A picture (S, S) without its slow variation: less its Gaussian blur by S / 16. Differentiable.
at::Tensor xray_detail(const at::Tensor& picture);

}  // namespace x2ctpa
