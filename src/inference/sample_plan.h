// Which volumes of a run are there, and which are to be made.
#pragma once

#include <cstddef>
#include <vector>

#include "inference/sample_context.h"

namespace x2ctpa {

struct SamplePlan {
  std::vector<SampleItem> own;   ///< of this shard
  std::vector<SampleItem> todo;  ///< of these, those to make
  size_t already = 0;            ///< those that are there under these settings
  size_t in_the_way = 0;         ///< those whose name a volume of other settings has, and keeps
};

/// Divides this shard's part of `samples`, as the conflict policy says: it may rename some. Enters
/// in samples.csv what is finished, and removes what was left half-written of what is to be made.
SamplePlan plan_samples(const SampleContext& run, std::vector<SampleItem> samples);

}  // namespace x2ctpa
