// Line integrals along the rays of a cone beam.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "x2ctpa/imaging/drr/drr.h"

namespace x2ctpa {

/// The cone beam of some options around a centre.
struct ConeBeam {
  Vec3 source{};          ///< LPS
  Vec3 centre{};          ///< LPS, on the central ray
  double detector_y = 0;  ///< the detector's plane
  double to_detector_mm = 0;
  double pitch_mm = 0;  ///< of the square pixels
  int64_t size = 0;     ///< rows and columns

  double u_mm(int64_t column) const {
    return (double(column) + 0.5 - 0.5 * double(size)) * pitch_mm;
  }
  double v_mm(int64_t row) const { return (0.5 * double(size) - double(row) - 0.5) * pitch_mm; }
  std::vector<double> columns_mm() const;                          ///< u_mm of each column
  std::vector<double> rows_mm(int64_t first, int64_t last) const;  ///< v_mm of these rows
  /// How far the plane at `y` is from the source, as a share of the way to the detector.
  double share_to(double y) const { return std::abs(y - source[1]) / to_detector_mm; }
};

ConeBeam cone_beam(const DrrOptions& options, const Vec3& centre);

/// Whether a volume's axes are those of patient space, so that its layers lie parallel to the
/// detector and a ray's place in a layer follows from its row and its column separately.
bool has_parallel_layers(const Volume& volume);

/// Line integrals of `mu` (D, H, W), whose place is that of `volume`, layer by layer from the back
/// to the front. Precondition: has_parallel_layers(volume). Trilinear: the middle of every
/// sub-layer of at most `step_mm` (Joseph, IEEE TMI 1 (1982) 192, with layers of any thickness).
/// Siddon (Medical Physics 12 (1985) 252): each voxel's value times the exact length of the ray in
/// it.
at::Tensor project_layers(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                          double step_mm, bool siddon);

/// The transpose of project_layers() with trilinear samples: what `picture` (S, S) says, spread
/// over the voxels, (D, H, W). The same with any number of threads.
at::Tensor spread_layers(const at::Tensor& picture, const Volume& volume, const ConeBeam& beam,
                         double step_mm);

/// Both by products of matrices, on the device of `mu` or `picture`. The volume gives the place and
/// the size.
at::Tensor project_matrices(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                            double step_mm);
at::Tensor spread_matrices(const at::Tensor& picture, const Volume& volume, const ConeBeam& beam,
                           double step_mm);

/// project_layers() for volumes turned against the detector, ray by ray.
at::Tensor project_rays(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                        double step_mm, bool siddon);

}  // namespace x2ctpa
