// PNG files made in memory, so that writing one can fail only where its bytes go to the disk.
#pragma once

#include <torch/types.h>

#include <string>

namespace x2ctpa {

/// The bytes of a PNG of samples (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16, contiguous.
/// Throws Error for other samples.
std::string png_bytes(const at::Tensor& samples);

}  // namespace x2ctpa
