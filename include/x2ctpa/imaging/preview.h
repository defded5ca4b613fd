// One picture that shows a volume at a glance.
#pragma once

#include <torch/types.h>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// A grey picture (H, W) in [0, 1]: the X-ray `cxr` (h, w) in [0, 1] where defined, the coronal,
/// sagittal and axial maximum intensity projections, and below them four axial, coronal and
/// sagittal slices each. Grey runs from `min_hu` to `max_hu`, millimetres are square, and
/// everything hangs as radiologists hang it: the patient's right at the left, head up. `synthetic`
/// prints at the top that the volume is generated. Volumes in the canonical axes (oriented_to_lps).
at::Tensor preview_picture(const Volume& volume, double min_hu, double max_hu,
                           const at::Tensor& cxr, bool synthetic);

}  // namespace x2ctpa
