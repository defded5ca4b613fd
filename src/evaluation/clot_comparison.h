// The clots of one case: what of them is in a volume.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

#include "x2ctpa/evaluation/lesions.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Where clots and pulmonary arteries lie, the latter with the clots in them.
struct ClotMasks {
  at::Tensor clots, arteries;  ///< (D, H, W), the share of each voxel, 0 to 1
  at::Tensor lungs;            ///< not 0 inside; undefined: the arteries stand for them
};

class ClotComparison {
 public:
  /// Of a true volume (D, H, W) in HU within the window. There must be some clot and some artery
  /// outside of it.
  ClotComparison(const ClotMasks& masks, const Vec3& spacing_mm, const at::Tensor& truth);

  LesionValues of(const at::Tensor& hu) const;

  double ml() const;
  /// At least half of the clots lies in the middle half of the lungs' box along each axis.
  bool central() const;
  int64_t fullest_slice() const;

 private:
  struct Contrast {
    double hu = 0, artery_sd = 0;
  };
  Contrast contrast_of(const at::Tensor& hu) const;
  at::Tensor found_in(const at::Tensor& hu) const;
  double same_side(const at::Tensor& found) const;

  at::Tensor clots_, around_;               // weights, double: the clots and the artery around them
  at::Tensor clot_voxels_, artery_voxels_;  // bool
  Vec3 spacing_mm_;
  std::array<int64_t, 3> box_first_{}, box_size_{};  // of the lungs
  Contrast true_contrast_;
};

}  // namespace x2ctpa
