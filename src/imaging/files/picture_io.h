// Pictures as float tensors, shared by the X-ray readers.
#pragma once

#include <torch/types.h>

#include "imaging/files/image_file.h"

namespace x2ctpa {

constexpr int64_t most_picture_samples = int64_t{4} * 16384 * 16384;

/// The bits that samples (H, W, C) use: of integers of more than 8 bits the fewest of 8, 10, 12 and
/// 14 whose range holds 99.5% of the grey or colour values, else all of the type's. Other types: 0.
int64_t used_bits(const at::Tensor& samples);

/// Grey (H, W) in [0, 1] from samples (H, W, C): C of 1, 2 (grey and alpha), 3 or 4 (colour and
/// alpha; luminance of Rec. 601). White is the top of the range of `bits`, or of their type for 0.
/// Floats outside [0, 1] are scaled by their own range.
at::Tensor grey_picture(const at::Tensor& samples, int64_t bits = 0);

/// True when the colour channels differ visibly.
bool is_colourful(const at::Tensor& samples, int64_t bits = 0);

}  // namespace x2ctpa
