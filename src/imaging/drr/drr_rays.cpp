// The renderer for volumes that are turned against the detector.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "imaging/drr/drr_rays.h"

namespace x2ctpa {
namespace {

struct Ray {
  Vec3 start, end;  // continuous indices (x, y, z)
  double length_mm;
};

float trilinear(const float* data, const int64_t size[3], float x, float y, float z) {
  // Half a voxel beyond the outer centres still belongs to the volume.
  x = std::clamp(x, 0.0f, float(size[0] - 1));
  y = std::clamp(y, 0.0f, float(size[1] - 1));
  z = std::clamp(z, 0.0f, float(size[2] - 1));
  const auto i = int64_t(x), j = int64_t(y), k = int64_t(z);
  const float fx = x - float(i), fy = y - float(j);
  const float fz = z - float(k);
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

// The part of the ray inside the outer faces of the voxels (slab method); false: it misses them.
bool clip(const int64_t size[3], const Ray& ray, double& enter, double& leave) {
  enter = 0, leave = 1;
  for (int axis : {0, 1, 2}) {
    const double from = ray.start[axis], along = ray.end[axis] - from;
    const double low = -0.5, high = double(size[axis]) - 0.5;
    if (std::fabs(along) < 1e-12) {
      if (from < low || from > high) return false;
      continue;
    }
    const double a = (low - from) / along, b = (high - from) / along;
    enter = std::max(enter, std::min(a, b));
    leave = std::min(leave, std::max(a, b));
  }
  return leave > enter;
}

float integrate_linear(const float* mu, const int64_t size[3], const Ray& ray, double step_mm) {
  double enter = 0, leave = 1;
  if (!clip(size, ray, enter, leave)) return 0;
  const double inside_mm = (leave - enter) * ray.length_mm;
  const auto steps = int64_t(std::ceil(inside_mm / step_mm));
  const double stride = (leave - enter) / double(steps);
  float point[3], move[3];
  for (int axis : {0, 1, 2}) {
    const double along = ray.end[axis] - ray.start[axis];
    point[axis] = float(ray.start[axis] + along * (enter + 0.5 * stride));
    move[axis] = float(along * stride);
  }
  float sum = 0;
  for (int64_t s = 0; s < steps; ++s) {
    const auto t = float(s);
    sum +=
        trilinear(mu, size, point[0] + t * move[0], point[1] + t * move[1], point[2] + t * move[2]);
  }
  return sum * float(inside_mm / double(steps));
}

// Each voxel's value times the length of the ray in it, from border to border.
float integrate_voxels(const float* mu, const int64_t size[3], const Ray& ray) {
  double enter = 0, leave = 1;
  if (!clip(size, ray, enter, leave)) return 0;
  int64_t voxel[3], move[3];
  double next[3],
      pitch[3];  // where the next border of each axis is crossed, and the way between two
  for (int axis : {0, 1, 2}) {
    const double along = ray.end[axis] - ray.start[axis];
    const double at = ray.start[axis] + along * (enter + 1e-9 * (leave - enter)) + 0.5;
    voxel[axis] = std::clamp(int64_t(std::floor(at)), int64_t{0}, size[axis] - 1);
    move[axis] = along > 0 ? 1 : -1;
    pitch[axis] = std::fabs(along) < 1e-12 ? 1e300 : 1 / std::fabs(along);
    const double border = double(voxel[axis] + (along > 0)) - 0.5;
    next[axis] = pitch[axis] > 1e299 ? 1e300 : (border - ray.start[axis]) / along;
  }
  double sum = 0, at = enter;
  while (at < leave) {
    const int axis = next[0] < next[1] ? (next[0] < next[2] ? 0 : 2) : (next[1] < next[2] ? 1 : 2);
    const double to = std::min(next[axis], leave);
    sum += (to - at) * mu[(voxel[2] * size[1] + voxel[1]) * size[0] + voxel[0]];
    at = to;
    voxel[axis] += move[axis];
    if (voxel[axis] < 0 || voxel[axis] >= size[axis]) break;
    next[axis] += pitch[axis];
  }
  return float(sum * ray.length_mm);
}

}  // namespace

at::Tensor project_rays(const at::Tensor& mu, const Volume& volume, const ConeBeam& beam,
                        double step_mm, bool siddon) {
  const int64_t size[3] = {mu.size(2), mu.size(1), mu.size(0)};
  const float* data = mu.const_data_ptr<float>();
  const Vec3 source_index = volume.index(beam.source);
  at::Tensor picture = torch::empty({beam.size, beam.size}, torch::kFloat);
  float* out = picture.mutable_data_ptr<float>();
  at::parallel_for(0, beam.size, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = 0; column < beam.size; ++column) {
        const double u = beam.u_mm(column), v = beam.v_mm(row);
        const Ray ray{source_index,
                      volume.index({beam.centre[0] + u, beam.detector_y, beam.centre[2] + v}),
                      std::hypot(u, v, beam.to_detector_mm)};
        out[row * beam.size + column] =
            siddon ? integrate_voxels(data, size, ray) : integrate_linear(data, size, ray, step_mm);
      }
  });
  return picture;
}

}  // namespace x2ctpa
