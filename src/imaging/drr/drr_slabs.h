// A volume in slabs along the beam, and where rays are in each of them: what projecting layers and
// its transpose share.
#pragma once

#include <cstdint>
#include <vector>

#include "imaging/drr/drr_rays.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Where the rays of one row or column of pixels are in a layer: between samples a and b of an
/// axis. An index of -1 is outside, where there is nothing.
struct Places {
  std::vector<int64_t> a, b;
  std::vector<float> share;  ///< trilinear: the weight of b; Siddon: the part of the path before b

  explicit Places(int64_t n) : a(n), b(n), share(n) {}
};

/// A slab of the volume along the beam: front and back face, and its two layers of voxels.
struct Slab {
  double from_y = 0, to_y = 0;
  int64_t first = 0, second = 0;
  float share = 0;  ///< the weight of the second layer
};

struct Axis {
  double origin_mm, spacing_mm;
  int64_t n;
};

/// Axis x (0), y (1) or z (2) of a volume whose axes are the patient's.
Axis axis_of(const Volume& volume, int axis);

/// The places of all columns or rows (`offset_mm` from the central ray at the detector) in a slab;
/// `centre_mm`: of the beam along that axis.
void fill_places(const std::vector<double>& offset_mm, const Axis& axis, double centre_mm,
                 const ConeBeam& beam, const Slab& slab, bool siddon, Places& places);

/// Slabs of at most `step_mm` in the direction of the beam; for Siddon's method within one layer.
std::vector<Slab> slabs_along_beam(const Axis& y, double step_mm, bool siddon);

/// The length in mm of each pixel's ray (S, S) in one of these slabs, which are all as thick.
at::Tensor ray_lengths(const ConeBeam& beam, const std::vector<Slab>& slabs);

}  // namespace x2ctpa
