// Finding the lungs in a chest CT by classical means.
#pragma once

#include <array>
#include <optional>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Box of voxel indices, inclusive first and last, in tensor order (D, H, W).
struct Box {
  std::array<int64_t, 3> first{0, 0, 0}, last{0, 0, 0};
};

struct Lungs {
  at::Tensor mask;  ///< uint8 (D, H, W)
  Box box;          ///< bounding box of the mask
  double litres = 0;
  bool cut_off = false;  ///< the mask touches the first or last slice
};

/// Body mask, air inside the body, the two lungs without the trachea, vessels closed.
/// `volume` in HU in the canonical axes (oriented_to_lps).
/// Throws Error when nothing plausible as lungs is found: 0.5 to 12 litres, not of bare gas as in
/// the bowels.
Lungs segment_lungs(const Volume& volume);

/// The region where `mask` (not 0), a volume of its own grid, lies in `volume`, resampled by its
/// place in the patient. Throws Error when it is empty, when more than 5% of it are lost outside of
/// the scan, or, with `of_lungs`, when its size is not plausible.
Lungs region_of_mask(const Volume& volume, const Volume& mask, bool of_lungs);

/// Bounding box of the body (the largest component above -500 HU).
Box body_box(const Volume& volume);

}  // namespace x2ctpa
