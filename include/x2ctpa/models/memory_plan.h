// How an autoencoder goes through a volume in bounded memory, with the same result as undivided.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <limits>
#include <string>

namespace x2ctpa {

struct MemoryPlan {
  /// Samples that go through at once; slices, for an autoencoder of slices.
  int64_t at_once = 1;
  /// Activations of the finest level that are kept whole: 2; 1, at the price of computing half the
  /// convolutions of each level twice; 0, at 2.5 times the arithmetic of that level. Where a level
  /// begins with more channels than it has after its first block (MAISI's decoder), 1 is two of the
  /// narrower ones, at the price of its first convolution twice. The convolutional autoencoder
  /// keeps none and computes nothing twice.
  int64_t kept = 2;
  /// The largest slab of one activation, in bytes; one slice where it is less.
  int64_t slab_bytes = int64_t{16} << 20;
  /// Number format of convolutions and kept activations; statistics are always single or double.
  c10::ScalarType type = c10::kFloat;
  /// Memory that it takes at most, in bytes, without the weights.
  int64_t bytes = 0;

  /// "slabs of up to 16 MiB, 2 activations kept, about 2.3 GB"
  std::string text() const;
};

/// What a plan may spend.
struct MemoryLimit {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  c10::ScalarType type = c10::kFloat;
};

}  // namespace x2ctpa
