// The share of a list of work that a process takes when several processes divide it.
#pragma once

#include <cstdint>
#include <string>

namespace x2ctpa {

/// Process `index` (from 0) of `count`; it takes the items whose number modulo `count` is `index`.
struct Shard {
  int64_t index = 0, count = 1;

  bool owns(int64_t item) const { return item % count == index; }
  bool whole() const { return count == 1; }
};

/// From "2/4", the second of four; from an empty text by RANK and WORLD_SIZE (torchrun), else, in a
/// step of srun, by SLURM_PROCID and SLURM_NTASKS, else one of one. A batch script itself, which
/// Slurm tells of its tasks as well, is not one of them. Throws Error for anything else.
Shard shard_from(const std::string& text);

}  // namespace x2ctpa
