// Pictures as float tensors, shared by the X-ray readers.
#pragma once

#include <torch/types.h>

#include "imaging/files/image_file.h"

namespace x2ctpa {

constexpr int64_t most_picture_samples = int64_t{4} * 16384 * 16384;

/// Grey (H, W) in [0, 1] from samples (H, W, C) over the full range of their type: C of 1, 2 (grey
/// and alpha), 3 or 4 (colour and alpha; luminance of Rec. 601). Floats outside [0, 1] are scaled
/// by their own range.
at::Tensor grey_picture(const at::Tensor& samples);

/// True when the colour channels differ visibly.
bool is_colourful(const at::Tensor& samples);

}  // namespace x2ctpa
