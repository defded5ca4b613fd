// A view hidden at random, so that one model serves either view alone and both.
#pragma once

#include <cstdint>

#include "x2ctpa/data/loader.h"

namespace x2ctpa {

/// Hides a view of the share `share` of the cases of `batch` that have both, one as often as the
/// other. Which, follows from `seed`, `stream`, the batch's number and the case's id alone.
void hide_views(Batch& batch, double share, int64_t seed, const char* stream, int64_t number);

}  // namespace x2ctpa
