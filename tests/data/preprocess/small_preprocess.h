// Options of preprocess that make a test's dataset in a moment.
#pragma once

#include "x2ctpa/data/preprocess/preprocess.h"

namespace x2ctpa::test {

/// All cases in the split train, volumes of 12 x 20 x 24 voxels, X-rays of 16 x 16 pixels.
inline PreprocessOptions small_preprocess_options() {
  PreprocessOptions options;
  options.grid = {12, 20, 24};
  options.cxr_size = 16;
  options.splits = {1, 0, 0};
  options.workers = 2;
  return options;
}

}  // namespace x2ctpa::test
