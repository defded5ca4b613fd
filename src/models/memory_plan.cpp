#include "x2ctpa/models/memory_plan.h"

#include <fmt/format.h>

namespace x2ctpa {

std::string MemoryPlan::text() const {
  return fmt::format("{} at once, slabs of {:.1f} MB, {} whole activations kept, {:.2f} GB at most",
                     at_once, double(slab_bytes) / 1e6, kept, double(bytes) / 1e9);
}

}  // namespace x2ctpa
