#include "training/contrast_range.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/models/clipped_to.h"

namespace x2ctpa {

at::Tensor ContrastRange::of(const at::Tensor& volumes) const {
  return clipped_to(volumes, low, high);
}

ContrastRange contrast_range(double weight, const std::vector<double>& hu,
                             const IntensityWindow& window, const std::string& section) {
  if (weight == 0) return {};
  const auto unit = window.to_unit(at::tensor(hu, at::kDouble));
  const ContrastRange range{unit[0].item<double>(), unit[1].item<double>()};
  if (range.low < range.high) return range;
  throw Error(fmt::format(
      "expected {}.contrast_window_hu to be a range within the dataset's window {} to {}, found {} "
      "to {}; give another range, or {}.contrast_weight 0.",
      section, window.min_hu, window.max_hu, hu[0], hu[1], section));
}

}  // namespace x2ctpa
