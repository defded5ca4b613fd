// Spreads features of a chest X-ray over a volume along the X-ray beam (cone-beam geometry), so
// that every voxel sees the picture at the place where its shadow falls.
//
// Axes, relative to the centre of the volume, in mm: x along W, patient right to left; y along H,
// anterior to posterior; z along D, inferior to superior. The beam runs from posterior to anterior:
// the source lies at y = +source_to_centre_mm, the detector before the chest. Picture columns go
// from patient right to left, rows from superior to inferior. A lateral beam runs from the
// patient's right to the left side: picture columns go from anterior to posterior.
#pragma once

#include <torch/types.h>

#include <array>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/projection_geometry.h"

namespace x2ctpa {

struct BackProjectionGeometry {
  ProjectionGeometry beam;
  std::array<double, 3> spacing_xyz_mm{1, 1, 1};  ///< of the grid projected onto (the latent's)
  CxrView view = CxrView::frontal;
};

/// The beams of a model's views through one grid: the frontal one, and the lateral one of a model
/// of both.
struct ViewBeams {
  std::vector<BackProjectionGeometry> beams;

  ViewBeams(const BackProjectionGeometry& frontal) : beams{frontal} {}
  ViewBeams(CxrViews views, const ProjectionGeometry& frontal, double lateral_source_to_centre_mm,
            const std::array<double, 3>& spacing_xyz_mm);
};

/// The detector coordinates of every voxel centre: (D, H, W, 2) float32, (column, row), -1 and 1
/// at the detector's edges. Point (x, y, z) falls on u = m x, v = m z with the magnification
/// m = source_to_detector / (source_to_centre - y); of a lateral beam, with y for x and -x for y.
/// Throws Error when a voxel reaches the source.
at::Tensor detector_coordinates(const BackProjectionGeometry& geometry,
                                const std::array<int64_t, 3>& grid_dhw);

class BackProjection {
 public:
  BackProjection(const BackProjectionGeometry& geometry, const std::array<int64_t, 3>& grid_dhw);

  /// (B, C, h, w) -> (B, C, D, H, W): bilinear in the picture, zero outside it. The feature map
  /// covers the whole detector, whatever its resolution. `alignment` (B, 2, 3), if defined, moves
  /// each picture's detector coordinates p to A p + b with its rows (A | b): an X-ray whose
  /// distances and centring are not known. Differentiable in both; any device.
  at::Tensor operator()(const at::Tensor& features, const at::Tensor& alignment = {}) const;

  const BackProjectionGeometry& geometry() const { return geometry_; }

 private:
  BackProjectionGeometry geometry_;
  std::array<int64_t, 3> grid_dhw_;
  mutable at::Tensor coordinates_;  // (1, D * H, W, 2), moved to the features' device when used
};

}  // namespace x2ctpa
