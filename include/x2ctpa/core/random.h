// Named, seeded random streams: the same seed and name give the same numbers on every machine,
// whatever was drawn from other streams before.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace x2ctpa {

/// A 64-bit seed for stream `name` of a run's `seed` (FNV-1a of the name, mixed by SplitMix64).
uint64_t stream_seed(int64_t seed, std::string_view name);

/// A CPU generator for stream `name` of a run's `seed`.
at::Generator random_stream(int64_t seed, std::string_view name);

/// Standard normal float32 of `shape` on the CPU for one case: it depends on the run's seed, the
/// case id and `sample` (several samples of one case) alone, so a case made alone, in a batch, in
/// a shard or after a restart starts from the same noise, bit for bit.
at::Tensor case_noise(int64_t seed, std::string_view case_id, int64_t sample,
                      at::IntArrayRef shape);

}  // namespace x2ctpa
