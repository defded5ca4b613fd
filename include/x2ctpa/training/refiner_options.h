// Options of the refiner of generated volumes.
#pragma once

#include <array>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/volume_refiner.h"
#include "x2ctpa/training/loop.h"

namespace x2ctpa {

/// none: volumes are as decoded; frontal: a VolumeRefiner goes over them.
enum class Refinement { none, frontal };
constexpr auto words(Refinement) { return std::array{"none", "frontal"}; }

struct RefinerOptions {
  Refinement kind = Refinement::none;
  VolumeRefinerOptions model;
  TrainOptions train;
  double contrast_weight = 1;
  std::vector<double> contrast_window_hu{-200, 500};

  RefinerOptions();
  void describe(OptionList& options);
};

}  // namespace x2ctpa
