// How an input is divided so that it fits into memory.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <string>

#include "x2ctpa/models/memory_plan.h"

namespace x2ctpa::slabs {

struct PlanChoices {
  int64_t samples = 1;    ///< of the input; small ones go through together
  int64_t most_kept = 0;  ///< the largest MemoryPlan::kept there is
  c10::Device device = c10::kCPU;
};

/// The fastest plan of one sample at once whose `bytes_of` is within `limit`; for several where
/// they are small. Throws Error with ExitCode::out_of_memory, `doing` as its beginning, when none
/// fits.
MemoryPlan fitting_plan(const PlanChoices& choices, const MemoryLimit& limit,
                        const std::string& doing,
                        const std::function<int64_t(const MemoryPlan&)>& bytes_of);

}  // namespace x2ctpa::slabs
