#include "x2ctpa/imaging/clipped_air.h"

#include <ATen/ATen.h>

namespace x2ctpa {

at::Tensor with_clipped_air(const at::Tensor& hu, double min_hu, double max_hu, ClippedAir rule) {
  constexpr double lung_hu = -850, still_air_hu = -600;
  const double tenth = 0.1 * (max_hu - min_hu);
  if (rule == ClippedAir::step) {
    const bool cut_off = hu.min().item<double>() > still_air_hu;
    return cut_off ? hu.masked_fill(hu < min_hu + tenth, lung_hu) : hu;
  }
  const auto share = ((hu - min_hu) / tenth).clamp(0, 1);
  return lung_hu + share * (hu - lung_hu);
}

}  // namespace x2ctpa
