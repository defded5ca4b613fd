// Masks of true volumes, which some data sets have. No model sees them: evaluation does.
#pragma once

#include <array>
#include <string>

namespace x2ctpa {

/// Lungs with their vessels, pulmonary arteries with their clots, and clots. A manifest names them
/// in its columns <kind>_mask.
inline constexpr std::array<const char*, 3> mask_kinds{"lung", "artery", "embolus"};

/// Where a dataset keeps them, relative to its folder: "masks/<id>_<kind>.nii.gz", the share of
/// each voxel of the volume that the mask covers, from 0 to 255.
std::string mask_file(const std::string& id, const std::string& kind);

}  // namespace x2ctpa
