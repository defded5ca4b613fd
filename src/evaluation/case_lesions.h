// The clots of one case in each of its volumes.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "evaluation/volume_comparison.h"
#include "x2ctpa/evaluation/lesions.h"

namespace x2ctpa {

/// The volumes of a case, in HU on the grid of the true one; undefined where there is none.
using SourceVolumes = std::array<at::Tensor, source::count>;

/// Adds the case where the dataset has masks of its clots and arteries and both lie on the grid.
void add_lesions(const SamplePair& pair, const VolumeComparison& comparison,
                 const SourceVolumes& volumes, LesionEvaluation& lesions);

}  // namespace x2ctpa
