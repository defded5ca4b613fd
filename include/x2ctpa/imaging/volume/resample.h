// Resampling volumes onto other grids.
#pragma once

#include <array>
#include <cstdint>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// A regular grid in patient space; the same conventions as Volume.
struct Grid {
  std::array<int64_t, 3> size_dhw{0, 0, 0};
  Vec3 origin_mm{0, 0, 0};
  Vec3 spacing_mm{1, 1, 1};
  Mat3 direction{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
};

/// The grid of `volume` itself.
Grid grid_of(const Volume& volume);

/// An axis-aligned (LPS) grid of `size_dhw` voxels whose outer faces span `extent_mm` (x, y, z)
/// around `centre_mm`.
Grid centred_grid(const std::array<int64_t, 3>& size_dhw, const Vec3& centre_mm,
                  const Vec3& extent_mm);

/// linear: trilinear after averaging over the target voxel where the target is coarser
/// (anti-aliased); cubic: separable cubic B-spline interpolation (as scipy.ndimage order 3).
enum class Interpolation { nearest, linear, cubic };

/// `volume` sampled at the voxel centres of `grid`; `outside_hu` beyond the source.
Volume resample(const Volume& volume, const Grid& grid,
                Interpolation interpolation = Interpolation::linear, double outside_hu = -1024);

/// The published preprocessing: `boxed` by a cubic spline to voxels of 1 mm, rounded to whole HU,
/// and by a second one to `size_dhw`, rounded again. Equal to scipy.ndimage.zoom of order 3 on
/// integers, first with mode "constant", then with "nearest", within 1 HU. Both keep the centres of
/// the corner voxels in place, so the result spans from the first voxel's centre to the last one's.
/// There is no averaging: fine structures alias where the grid is coarser. `boxed.hu` may be a view
/// of rows.
Volume zoom_as_published(const Volume& boxed, const std::array<int64_t, 3>& size_dhw);

}  // namespace x2ctpa
