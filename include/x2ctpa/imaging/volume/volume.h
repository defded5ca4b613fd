// A CT volume in HU with its place in the patient.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>

namespace x2ctpa {

using Vec3 = std::array<double, 3>;
using Mat3 = std::array<std::array<double, 3>, 3>;  ///< rows; columns are the index axes

/// Voxels (D, H, W) and their geometry in LPS millimetres.
///
/// Axes of the tensor: D slices, H rows, W columns. Geometry is in ITK's index order (x, y, z) =
/// (W, H, D): point = origin + direction * (spacing * index).
struct Volume {
  at::Tensor hu;             ///< float32 on the CPU, contiguous, (D, H, W), in HU
  Vec3 origin_mm{0, 0, 0};   ///< LPS position of the centre of voxel (0, 0, 0)
  Vec3 spacing_mm{1, 1, 1};  ///< x, y, z
  Mat3 direction{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};  ///< direction cosines, orthonormal

  std::array<int64_t, 3> size_dhw() const;
  /// LPS point in mm of a continuous index given as (x, y, z).
  Vec3 point(const Vec3& index_xyz) const;
  /// Continuous index (x, y, z) of an LPS point in mm.
  Vec3 index(const Vec3& point_mm) const;
  /// LPS position of the middle of the volume.
  Vec3 centre_mm() const;
};

/// Where the index axes x, y, z point to: "LPS" for rows to the left, columns to the back, slices
/// up.
std::string orientation_letters(const Mat3& direction);

/// The volume with axes permuted and flipped so that its direction is the signed permutation
/// nearest to identity: D from inferior to superior, H from anterior to posterior, W from patient
/// right to left. Obliqueness is kept in `direction`; no voxel value changes.
Volume oriented_to_lps(const Volume& volume);

}  // namespace x2ctpa
