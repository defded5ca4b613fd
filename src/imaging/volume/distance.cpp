#include "imaging/volume/distance.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace x2ctpa {
namespace {

constexpr float far_away = 1e12f;

// Lower envelope of the parabolas f[q] + (p - q)^2, in place.
void transform_line(float* f, int64_t n, std::vector<int64_t>& apex, std::vector<float>& start,
                    std::vector<float>& out) {
  apex.resize(n);
  start.resize(n + 1);
  out.resize(n);
  int64_t k = -1;
  for (int64_t q = 0; q < n; ++q) {
    if (f[q] >= far_away) continue;
    float s = -far_away;
    while (k >= 0) {
      const int64_t v = apex[k];
      const auto dq = float(q), dv = float(v);
      s = ((f[q] + dq * dq) - (f[v] + dv * dv)) / (2 * (dq - dv));
      if (s > start[k]) break;
      --k;
    }
    if (k < 0) s = -far_away;
    ++k;
    apex[k] = q;
    start[k] = s;
  }
  if (k < 0) return;
  start[k + 1] = far_away;
  int64_t j = 0;
  for (int64_t p = 0; p < n; ++p) {
    while (start[j + 1] < float(p)) ++j;
    const auto d = float(p - apex[j]);
    out[p] = d * d + f[apex[j]];
  }
  std::copy_n(out.begin(), n, f);
}

}  // namespace

at::Tensor squared_distance(const at::Tensor& mask, double spacing_mm) {
  auto x = torch::where(mask != 0, torch::zeros({}, torch::kFloat),
                        torch::full({}, far_away, torch::kFloat));
  for (int64_t dim : {2, 1, 0}) {
    auto lines = x.transpose(dim, 2).contiguous();
    const int64_t n = lines.size(2);
    float* data = lines.data_ptr<float>();
    at::parallel_for(0, lines.numel() / n, 256, [&](int64_t begin, int64_t end) {
      std::vector<int64_t> apex;
      std::vector<float> start, out;
      for (int64_t i = begin; i < end; ++i) transform_line(data + i * n, n, apex, start, out);
    });
    x = lines.transpose(dim, 2);
  }
  return x.contiguous() * (spacing_mm * spacing_mm);
}

at::Tensor dilated(const at::Tensor& mask, double radius_mm, double spacing_mm) {
  return (squared_distance(mask, spacing_mm) <= radius_mm * radius_mm).to(torch::kUInt8);
}

at::Tensor closed(const at::Tensor& mask, double radius_mm, double spacing_mm) {
  // Room for the grown mask, or the border would erode it.
  const auto margin = int64_t(std::ceil(radius_mm / spacing_mm)) + 1;
  const auto padded = at::constant_pad_nd(mask, std::vector<int64_t>(6, margin));
  const auto background = 1 - dilated(padded, radius_mm, spacing_mm);
  const auto result = 1 - dilated(background, radius_mm, spacing_mm);
  auto cropped = result;
  for (int64_t d = 0; d < 3; ++d) cropped = cropped.narrow(d, margin, mask.size(d));
  return cropped.bitwise_or(mask).contiguous();
}

}  // namespace x2ctpa
