#include "data/preprocess/intensity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

std::array<double, 2> percentile_values(const at::Tensor& values,
                                        const std::vector<double>& percentiles) {
  const auto flat = values.to(torch::kFloat).contiguous().view({-1});
  std::vector<float> sorted(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
  std::array<double, 2> found{};
  for (size_t i = 0; i < 2; ++i) {
    const double rank = percentiles.at(i) / 100 * double(sorted.size() - 1);
    const auto place = sorted.begin() + std::ptrdiff_t(std::llround(rank));
    std::nth_element(sorted.begin(), place, sorted.end());
    found[i] = *place;
  }
  return found;
}

std::string intensity_unit(const PreprocessOptions& options) {
  if (options.intensity == Intensity::volume_percentiles) {
    return fmt::format("1/{:g} of the range from percentile {:g} to {:g} of the volume",
                       percentile_scale, options.percentiles[0], options.percentiles[1]);
  }
  return options.modality == Modality::ct ? "HU" : "as stored";
}

PreprocessOptions with_preset(PreprocessOptions options) {
  auto set = [&](double min_hu, double max_hu) {
    options.window.min_hu = min_hu;
    options.window.max_hu = max_hu;
  };
  switch (options.window_preset) {
    case WindowPreset::custom:
      break;
    case WindowPreset::ctpa:
      set(-200, 500);
      break;
    case WindowPreset::wide:
      set(-100, 900);
      break;
    case WindowPreset::lung:
    case WindowPreset::lidc:
      set(-1200, 600);
  }
  return options;
}

void check_options(const PreprocessOptions& options) {
  if (options.window.max_hu <= options.window.min_hu) {
    throw Error(fmt::format("preprocess.window_max_hu must be above window_min_hu, found {} and {}",
                            options.window.max_hu, options.window.min_hu));
  }
  if (options.percentiles[0] >= options.percentiles[1]) {
    throw Error(
        fmt::format("preprocess.percentiles: the second must be above the first, found {} "
                    "and {}",
                    options.percentiles[0], options.percentiles[1]));
  }
  if (options.modality != Modality::ct && options.box == BoxRule::lungs) {
    throw Error(
        fmt::format("preprocess.box: lungs are found by their HU, which a volume of "
                    "modality {} does not have; choose body, mask or none",
                    options.modality));
  }
}

}  // namespace x2ctpa
