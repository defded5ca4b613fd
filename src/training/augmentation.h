// Changes of training volumes that leave them plausible.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <vector>

namespace x2ctpa {

/// Each of `volumes` (B, C, D, H, W) moved by whole voxels, up to `most` along D, H and W, drawn
/// from `generator` (CPU); what comes into view repeats the outermost voxels. As they are where all
/// of `most` are 0.
at::Tensor shifted(const at::Tensor& volumes, const std::vector<int64_t>& most,
                   const at::Generator& generator);

}  // namespace x2ctpa
