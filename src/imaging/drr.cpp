#include "x2ctpa/imaging/drr.h"

#include <ATen/Parallel.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

struct Ray {
  Vec3 start, end;  // continuous indices (x, y, z)
  double length_mm;
};

float trilinear(const float* data, const int64_t size[3], float x, float y, float z) {
  // Half a voxel beyond the outer centres still belongs to the volume.
  x = std::clamp(x, 0.0f, static_cast<float>(size[0] - 1));
  y = std::clamp(y, 0.0f, static_cast<float>(size[1] - 1));
  z = std::clamp(z, 0.0f, static_cast<float>(size[2] - 1));
  const auto i = static_cast<int64_t>(x), j = static_cast<int64_t>(y), k = static_cast<int64_t>(z);
  const float fx = x - static_cast<float>(i), fy = y - static_cast<float>(j);
  const float fz = z - static_cast<float>(k);
  const int64_t dx = i + 1 < size[0], dy = j + 1 < size[1] ? size[0] : 0;
  const int64_t dz = k + 1 < size[2] ? size[0] * size[1] : 0;
  const float* p = data + (k * size[1] + j) * size[0] + i;
  const float a = p[0] + fx * (p[dx] - p[0]);
  const float b = p[dy] + fx * (p[dy + dx] - p[dy]);
  const float c = p[dz] + fx * (p[dz + dx] - p[dz]);
  const float d = p[dz + dy] + fx * (p[dz + dy + dx] - p[dz + dy]);
  const float front = a + fy * (b - a), back = c + fy * (d - c);
  return front + fz * (back - front);
}

float integrate(const float* mu, const int64_t size[3], const Ray& ray, double step_mm) {
  // Part of the ray inside the outer faces of the voxels (slab method).
  double enter = 0, leave = 1;
  for (int axis : {0, 1, 2}) {
    const double from = ray.start[axis], along = ray.end[axis] - from;
    const double low = -0.5, high = static_cast<double>(size[axis]) - 0.5;
    if (std::fabs(along) < 1e-12) {
      if (from < low || from > high) return 0;
      continue;
    }
    const double a = (low - from) / along, b = (high - from) / along;
    enter = std::max(enter, std::min(a, b));
    leave = std::min(leave, std::max(a, b));
  }
  if (leave <= enter) return 0;
  const double inside_mm = (leave - enter) * ray.length_mm;
  const auto steps = static_cast<int64_t>(std::ceil(inside_mm / step_mm));
  const double stride = (leave - enter) / static_cast<double>(steps);
  float point[3], move[3];
  for (int axis : {0, 1, 2}) {
    const double along = ray.end[axis] - ray.start[axis];
    point[axis] = static_cast<float>(ray.start[axis] + along * (enter + 0.5 * stride));
    move[axis] = static_cast<float>(along * stride);
  }
  float sum = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const auto t = static_cast<float>(s);
    sum += trilinear(mu, size, point[0] + t * move[0], point[1] + t * move[1],
                     point[2] + t * move[2]);
  }
  return sum * static_cast<float>(inside_mm / static_cast<double>(steps));
}

void check_clear(const Volume& volume, const Vec3& source, double detector_y,
                 const DrrOptions& options) {
  const auto size = volume.size_dhw();
  double nearest = 1e300, farthest = -1e300;
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index;
    for (int axis : {0, 1, 2})
      index[axis] = (corner >> axis) & 1 ? static_cast<double>(size[2 - axis]) - 0.5 : -0.5;
    const double y = volume.point(index)[1];
    nearest = std::min(nearest, y), farthest = std::max(farthest, y);
  }
  if (farthest < source[1] && nearest > detector_y) return;
  throw Error(fmt::format(
      "rendering an X-ray: the volume spans y = {:.0f} to {:.0f} mm, which must lie between the "
      "detector at y = {:.0f} mm and the source at y = {:.0f} mm. Increase "
      "source_to_detector_mm (now {}) or change source_to_centre_mm (now {}).",
      nearest, farthest, detector_y, source[1], options.source_to_detector_mm,
      options.source_to_centre_mm));
}

}  // namespace

void DrrOptions::describe(OptionList& options) {
  options.add("size", &size, "Rows and columns of the picture.", {.min = 2, .max = 8192});
  options.add("source_to_detector_mm", &source_to_detector_mm, "Source to detector in mm.",
              {.min = 100, .max = 10000});
  options.add("source_to_centre_mm", &source_to_centre_mm, "Source to the central point in mm.",
              {.min = 50, .max = 10000});
  options.add("detector_mm", &detector_mm, "Side of the square detector in mm.",
              {.min = 10, .max = 2000});
  options.add("step_mm", &step_mm, "Largest step along a ray in mm.", {.min = 0.05, .max = 50});
  options.add("mu_water_per_mm", &mu_water_per_mm, "Attenuation of water in 1/mm.",
              {.min = 0.001, .max = 1});
  options.add("bone_gain", &bone_gain, "Slope of attenuation over HU above bone_from_hu, as a "
              "multiple of the slope below.", {.min = 0, .max = 10});
  options.add("bone_from_hu", &bone_from_hu, "HU from which tissue counts as bone.",
              {.min = 0, .max = 3000});
}

torch::Tensor attenuation(const torch::Tensor& hu, const DrrOptions& options) {
  const auto bone = (hu - options.bone_from_hu).clamp_min(0);
  const auto relative = 1 + (hu + (options.bone_gain - 1) * bone) / 1000;
  return (options.mu_water_per_mm * relative.clamp_min(0)).to(torch::kFloat).contiguous();
}

torch::Tensor render_drr(const Volume& volume, const DrrOptions& options,
                         const std::optional<Vec3>& centre_mm) {
  const Vec3 centre = centre_mm.value_or(volume.centre_mm());
  const Vec3 source{centre[0], centre[1] + options.source_to_centre_mm, centre[2]};
  const double detector_y = source[1] - options.source_to_detector_mm;
  check_clear(volume, source, detector_y, options);

  const torch::Tensor mu = attenuation(volume.hu, options);
  const float* data = mu.const_data_ptr<float>();
  const int64_t size[3] = {mu.size(2), mu.size(1), mu.size(0)};
  const int64_t n = options.size;
  torch::Tensor picture = torch::empty({n, n}, torch::kFloat);
  float* out = picture.mutable_data_ptr<float>();
  const Vec3 source_index = volume.index(source);
  const double pitch = options.detector_mm / static_cast<double>(n);
  at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = 0; column < n; ++column) {
        const double u = (static_cast<double>(column) + 0.5) * pitch - 0.5 * options.detector_mm;
        const double v = 0.5 * options.detector_mm - (static_cast<double>(row) + 0.5) * pitch;
        const double d = options.source_to_detector_mm;
        const Ray ray{source_index, volume.index({centre[0] + u, detector_y, centre[2] + v}),
                      std::sqrt(u * u + v * v + d * d)};
        out[row * n + column] = integrate(data, size, ray, options.step_mm);
      }
  });
  return picture;
}

std::array<double, 2> project_point(const Vec3& point, const Vec3& centre,
                                    const DrrOptions& options) {
  const double m = options.source_to_detector_mm /
                   (centre[1] + options.source_to_centre_mm - point[1]);
  const double u = m * (point[0] - centre[0]), v = m * (point[2] - centre[2]);
  const double per_mm = static_cast<double>(options.size) / options.detector_mm;
  return {(0.5 * options.detector_mm - v) * per_mm - 0.5,
          (u + 0.5 * options.detector_mm) * per_mm - 0.5};
}

torch::Tensor film_picture(const torch::Tensor& line_integral, double low, double high,
                           double exponent) {
  constexpr double behind_patient = 0.35;  // line integral of 17 mm of water
  torch::Tensor body = line_integral.masked_select(line_integral > behind_patient);
  if (body.numel() == 0) return torch::zeros_like(line_integral);
  body = std::get<0>(body.sort());
  const auto quantile = [&](double q) {
    return body[static_cast<int64_t>(q * static_cast<double>(body.numel() - 1))].item<double>();
  };
  const double from = quantile(low), to = quantile(high);
  const auto scaled = ((line_integral - from) / std::max(to - from, 1e-6)).clamp(0, 1);
  return exponent == 1.0 ? scaled : scaled.pow(exponent);
}

}  // namespace x2ctpa
