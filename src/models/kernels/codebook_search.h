// The nearest code of each row, on a CPU.
#pragma once

#include <ATen/core/Tensor.h>

namespace x2ctpa {

/// rows (n, C), codes (codes, C), contiguous float32 on the CPU -> (n) int64, of equally near codes
/// the first. No matrix of distances is made.
at::Tensor search_codes(const at::Tensor& rows, const at::Tensor& codes);

}  // namespace x2ctpa
