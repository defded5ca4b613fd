// What two X-rays are compared by.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/drr/drr.h"

namespace x2ctpa {

/// A picture (S, S) without its slow variation: less its Gaussian blur by S / 16. Differentiable.
at::Tensor xray_detail(const at::Tensor& picture);

/// How a volume is rendered to be compared with the X-rays (S, S) of a dataset.
DrrOptions rendering_for(const DatasetInfo& info, int64_t size, CxrView view = CxrView::frontal);

/// The pixels whose rays cross the volume, by its line integrals (S, S): bool.
at::Tensor crossed_by_rays(const at::Tensor& lines);

}  // namespace x2ctpa
