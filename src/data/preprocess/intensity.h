// What the numbers of a volume mean: HU through a window, or any scanner's through percentiles.
#pragma once

#include <torch/types.h>

#include <array>
#include <string>
#include <vector>

#include "x2ctpa/data/preprocess/preprocess.h"

namespace x2ctpa {

/// Top of the scale that a volume's percentiles are mapped to; whole numbers on it are fine enough.
inline constexpr double percentile_scale = 1000;

/// The values at `percentiles` (low, high; in 0..100) of all voxels, by linear rank, nearest value.
std::array<double, 2> percentile_values(const at::Tensor& values,
                                        const std::vector<double>& percentiles);

/// "HU", or what the values of the dataset's volumes are otherwise.
std::string intensity_unit(const PreprocessOptions& options);

/// The options with the window of their preset: of the published CTPA set, of its params.py, and of
/// its LIDC set.
PreprocessOptions with_preset(PreprocessOptions options);

/// Throws Error for options that do not go together.
void check_options(const PreprocessOptions& options);

}  // namespace x2ctpa
