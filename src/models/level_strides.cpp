#include "models/level_strides.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

int64_t log2_of(int64_t factor) {
  int64_t times = 0;
  while ((int64_t{1} << (times + 1)) <= factor) ++times;
  return times;
}

}  // namespace

void check_downsample(const std::vector<int64_t>& downsample, const std::string& network) {
  bool fits = downsample.size() == 3;
  int64_t largest = 1;
  for (int64_t factor : downsample) {
    fits = fits && factor >= 1 && (factor & (factor - 1)) == 0;
    largest = std::max(largest, factor);
  }
  if (!fits || largest == 1) {
    throw Error(
        fmt::format("{}: expected three powers of two, one of them above 1, as "
                    "downsample, found {}",
                    network, shape_text(downsample)));
  }
}

std::vector<std::vector<int64_t>> level_strides(const std::vector<int64_t>& downsample) {
  std::vector<std::vector<int64_t>> levels;
  const int64_t count = log2_of(*std::max_element(downsample.begin(), downsample.end()));
  for (int64_t level = 0; level < count; ++level) {
    std::vector<int64_t> stride;
    for (int64_t factor : downsample) stride.push_back(log2_of(factor) > level ? 2 : 1);
    levels.push_back(stride);
  }
  return levels;
}

std::vector<int64_t> downsampled(const std::vector<int64_t>& size_dhw,
                                 const std::vector<int64_t>& downsample,
                                 const std::string& network) {
  std::vector<int64_t> size;
  for (size_t axis = 0; axis < 3; ++axis) {
    require_multiple(size_dhw.at(axis), downsample[axis],
                     fmt::format("{}: size of the volume along {}", network, "DHW"[axis]));
    size.push_back(size_dhw[axis] / downsample[axis]);
  }
  return size;
}

}  // namespace x2ctpa
