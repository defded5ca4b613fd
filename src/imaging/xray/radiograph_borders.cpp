#include <algorithm>
#include <cmath>
#include <optional>

#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

constexpr double widest_share = 0.2;  // of a side, for each of its two borders
constexpr float same_level = 0.03;
constexpr float jump = 0.05;
constexpr double jumping_share = 0.6;  // of the line behind the border
constexpr int64_t blur = 3;            // lines over which a collimator's edge may fade

// The level that 90% of a line lies around; nothing when it has none. Markers and text may take up
// the rest of the line.
std::optional<float> level_of(const at::Tensor& line) {
  const auto sorted = std::get<0>(line.sort());
  const int64_t n = sorted.numel();
  const float low = sorted[n / 20].item<float>(), high = sorted[n - 1 - n / 20].item<float>();
  if (high - low > same_level) return std::nullopt;
  return sorted[n / 2].item<float>();
}

// The width of the border above the first row of `pixels`.
int64_t border_of(const at::Tensor& pixels) {
  const int64_t n = pixels.size(0);
  const auto widest = int64_t(widest_share * double(n));
  const auto level = level_of(pixels[0]);
  if (!level) return 0;
  int64_t width = 1;
  for (; width <= widest; ++width) {
    const auto next = level_of(pixels[width]);
    if (!next || std::abs(*next - *level) > same_level) break;
  }
  if (width > widest) return 0;
  // The first lines behind it may be a blend of both.
  for (int64_t behind = 0; behind <= blur && width + behind < n; ++behind) {
    const auto jumps = ((pixels[width + behind] - *level).abs() > jump).to(torch::kFloat).mean();
    if (jumps.item<double>() >= jumping_share) return width + behind;
  }
  return 0;
}

}  // namespace

at::Tensor without_borders(const at::Tensor& pixels) {
  const at::Tensor rows = pixels.contiguous(), columns = pixels.t().contiguous();
  const int64_t top = border_of(rows), bottom = border_of(rows.flip({0}));
  const int64_t left = border_of(columns), right = border_of(columns.flip({0}));
  return rows.slice(0, top, rows.size(0) - bottom)
      .slice(1, left, rows.size(1) - right)
      .contiguous();
}

}  // namespace x2ctpa
