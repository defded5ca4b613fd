// Connected components of masks (faces touch: 6 neighbours in space, 4 in a slice).
#pragma once

#include <torch/types.h>

#include <array>
#include <vector>

namespace x2ctpa {

struct Component {
  int64_t label = 0, voxels = 0;
  std::array<int64_t, 3> first{0, 0, 0}, last{0, 0, 0};  ///< bounding box (D, H, W), inclusive
  std::array<double, 3> centre{0, 0, 0};                 ///< (D, H, W)
  bool touches_side = false;  ///< reaches the first or last row or column
};

struct Components {
  at::Tensor labels;           ///< int32 (D, H, W), 0 background
  std::vector<Component> all;  ///< all[i].label == i + 1

  /// The largest first.
  std::vector<Component> by_size() const;
  at::Tensor mask_of(int64_t label) const;  ///< uint8
};

/// `across_slices` false: every slice (first axis) is labelled on its own.
Components connected_components(const at::Tensor& mask, bool across_slices = true);

/// `mask` with the enclosed background filled: in space, and in each slice where a hole is at most
/// `largest_hole` voxels.
at::Tensor holes_filled(const at::Tensor& mask, int64_t largest_hole);

}  // namespace x2ctpa
