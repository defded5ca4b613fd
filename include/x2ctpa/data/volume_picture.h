// Pictures of training volumes, for previews.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// The bytes of a grey PNG with one preview_picture() per volume, side by side. `volumes`: (1, D,
/// H, W) each, in [-1, 1], on the dataset's grid; `cxr`: (1, S, S) in [0, 1], or undefined; shown
/// with the first. `synthetic`: the last is generated, which is printed on it.
std::string volume_picture(const DatasetInfo& info, const std::vector<at::Tensor>& volumes,
                           const at::Tensor& cxr = {}, bool synthetic = false);

}  // namespace x2ctpa
