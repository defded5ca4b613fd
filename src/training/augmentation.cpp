#include "training/augmentation.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace x2ctpa {

at::Tensor shifted(const at::Tensor& volumes, const std::vector<int64_t>& most,
                   const at::Generator& generator) {
  if (std::all_of(most.begin(), most.end(), [](int64_t m) { return m == 0; })) return volumes;
  std::vector<at::Tensor> moved;
  for (int64_t b = 0; b < volumes.size(0); ++b) {
    auto volume = volumes[b];
    for (int64_t axis = 0; axis < 3; ++axis) {
      const int64_t m = most[size_t(axis)], size = volume.size(axis + 1);
      const auto by =
          at::randint(-m, m + 1, {1}, generator, at::TensorOptions(at::kLong)).item<int64_t>();
      const auto from = (at::arange(size) + by).clamp(0, size - 1);
      volume = volume.index_select(axis + 1, from.to(volume.device()));
    }
    moved.push_back(volume);
  }
  return at::stack(moved);
}

}  // namespace x2ctpa
