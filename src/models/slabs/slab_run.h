// An autoencoder's encoder or decoder in slabs along D.
#pragma once

#include <string>
#include <vector>

#include "models/slabs/slab_layers.h"
#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa::slabs {

/// The fastest plan within `limit` for an input (B, C, D, H, W). Throws Error with
/// ExitCode::out_of_memory, `doing` as its beginning, when none fits.
MemoryPlan plan(const std::vector<Level>& levels, at::IntArrayRef input, const MemoryLimit& limit,
                const std::string& doing);

/// (B, C, D, H, W) through `levels`; float32, contiguous. Needs no gradients.
at::Tensor run(const std::vector<Level>& levels, const at::Tensor& input, const MemoryPlan& plan);

}  // namespace x2ctpa::slabs
