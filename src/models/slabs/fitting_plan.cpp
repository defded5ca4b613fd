#include "models/slabs/fitting_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "x2ctpa/core/error.h"

namespace x2ctpa::slabs {

MemoryPlan fitting_plan(const PlanChoices& choices, const MemoryLimit& limit,
                        const std::string& doing,
                        const std::function<int64_t(const MemoryPlan&)>& bytes_of) {
  constexpr int64_t small_enough = int64_t{256} << 20;
  // A GPU wants much work at once, a CPU slabs that stay near its cache.
  const int64_t first_slab = choices.device.is_cpu() ? MemoryPlan().slab_bytes : int64_t{1} << 30;
  MemoryPlan plan;
  plan.type = limit.type;
  for (plan.kept = choices.most_kept; plan.kept >= 0; --plan.kept) {
    for (plan.slab_bytes = first_slab; plan.slab_bytes > 0; plan.slab_bytes /= 4) {
      plan.bytes = bytes_of(plan);
      if (plan.bytes > limit.bytes) continue;
      plan.at_once =
          std::clamp<int64_t>(std::min(small_enough, limit.bytes) / plan.bytes, 1, choices.samples);
      plan.bytes *= plan.at_once;
      return plan;
    }
  }
  throw Error(
      fmt::format("{}: takes {:.2f} GB even in slabs of one slice, and {:.2f} GB may be used. "
                  "Raise --runtime.memory_gb, end other programs, or take a smaller grid or "
                  "model.",
                  doing, double(plan.bytes) / 1e9, double(limit.bytes) / 1e9),
      ExitCode::out_of_memory);
}

}  // namespace x2ctpa::slabs
