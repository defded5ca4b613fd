#include "imaging/phantom/phantom_paint.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

namespace x2ctpa::phantom {
namespace {

// Grid to anatomy frame: point = origin + i * x + j * y + k * z.
struct Frame {
  Point origin, x, y, z;
  float edge_mm;
  int64_t size[3];  // x, y, z

  Frame(const Volume& volume, const Vec3& offset) {
    const auto column = [&](int axis) {
      const double s = volume.spacing_mm[axis];
      return Point{float(volume.direction[0][axis] * s), float(volume.direction[1][axis] * s),
                   float(volume.direction[2][axis] * s)};
    };
    x = column(0), y = column(1), z = column(2);
    const Vec3& o = volume.origin_mm;
    origin = {float(o[0] - offset[0]), float(o[1] - offset[1]), float(o[2] - offset[2])};
    edge_mm = float(std::cbrt(volume.spacing_mm[0] * volume.spacing_mm[1] * volume.spacing_mm[2]));
    for (int axis : {0, 1, 2}) size[axis] = volume.hu.size(2 - axis);
  }
};

// First and last index of a shape along x, y, z.
struct Bounds {
  int32_t first[3], last[3];
};

Bounds bounds_of(const Shape& shape, const Frame& frame) {
  Point low, high;
  const float margin = frame.edge_mm + shape.softness;
  if (shape.kind == Shape::Kind::capsule) {
    const float r = std::max(shape.ra, shape.rb) + margin;
    low = {std::min(shape.a.x, shape.b.x) - r, std::min(shape.a.y, shape.b.y) - r,
           std::min(shape.a.z, shape.b.z) - r};
    high = {std::max(shape.a.x, shape.b.x) + r, std::max(shape.a.y, shape.b.y) + r,
            std::max(shape.a.z, shape.b.z) + r};
  } else {
    // |axis component| * radius, as the box of a rotated ellipsoid's box.
    float half[3];
    const float r[3] = {shape.radii.x, shape.radii.y, shape.radii.z};
    for (int c : {0, 1, 2}) {
      half[c] = margin;
      for (int a : {0, 1, 2}) half[c] += std::fabs(shape.axes[a][c]) * r[a];
    }
    low = shape.a - Point{half[0], half[1], half[2]};
    high = shape.a + Point{half[0], half[1], half[2]};
  }
  const Point middle = (low + high) * 0.5f - frame.origin, half = (high - low) * 0.5f;
  Bounds bounds;
  const Point* columns[3] = {&frame.x, &frame.y, &frame.z};
  for (int axis : {0, 1, 2}) {
    const Point& column = *columns[axis];
    const float square = dot(column, column);
    const float at = dot(middle, column) / square;
    const float reach = (half.x * std::fabs(column.x) + half.y * std::fabs(column.y) +
                         half.z * std::fabs(column.z)) /
                        square;
    const auto n = float(frame.size[axis] - 1);
    bounds.first[axis] = int32_t(std::ceil(std::clamp(at - reach, 0.0f, n + 1)));
    bounds.last[axis] = int32_t(std::floor(std::clamp(at + reach, -1.0f, n)));
  }
  return bounds;
}

float capsule_cover(const Shape& s, const Point& p, float edge) {
  const Point ab = s.b - s.a, ap = p - s.a;
  const float square = dot(ab, ab);
  const float t = square > 0 ? std::clamp(dot(ap, ab) / square, 0.0f, 1.0f) : 0;
  const float r = s.ra + t * (s.rb - s.ra);
  const float d = length(ap - ab * t);
  // A tube thinner than the voxel keeps its cross-section: wider, but fainter.
  const float widest = std::max(r, 0.5f * edge);
  const float share = r / widest;
  return share * share * coverage(d - widest, edge);
}

float solid_cover(const Shape& s, const Point& p, float edge) {
  const Point q = p - s.a;
  if (s.kind == Shape::Kind::cylinder) {
    const float side = ellipse_distance(q.x, q.y, s.radii.x, s.radii.y);
    return coverage(std::max(side, std::fabs(q.z) - s.radii.z), edge);
  }
  const Point own{s.axes[0][0] * q.x + s.axes[0][1] * q.y + s.axes[0][2] * q.z,
                  s.axes[1][0] * q.x + s.axes[1][1] * q.y + s.axes[1][2] * q.z,
                  s.axes[2][0] * q.x + s.axes[2][1] * q.y + s.axes[2][2] * q.z};
  return coverage(ellipsoid_distance(own, s.radii), edge);
}

// One slice being painted.
struct Slice {
  float* hu;
  std::vector<float> lung, artery, clot;
};

void blend(Slice& slice, int64_t i, float cover, const Shape& shape, float hu) {
  switch (shape.layer) {
    case Layer::tissue:
      slice.lung[i] *= 1 - cover;
      slice.artery[i] *= 1 - cover;
      break;
    case Layer::in_lung:
      cover *= slice.lung[i];
      break;
    case Layer::artery:
      slice.lung[i] *= 1 - cover;
      slice.artery[i] = std::max(slice.artery[i], cover);
      break;
    case Layer::lung_artery:
      cover *= slice.lung[i];
      slice.artery[i] = std::max(slice.artery[i], cover);
      break;
    case Layer::clot:
      cover *= slice.artery[i];
      slice.clot[i] = std::max(slice.clot[i], cover);
      break;
  }
  slice.hu[i] += cover * (hu - slice.hu[i]);
}

void paint_shape(Slice& slice, const Shape& shape, const Bounds& bounds, const Frame& frame,
                 int64_t k, bool contrast) {
  const float hu = contrast ? shape.hu_contrast : shape.hu_plain;
  const float edge = frame.edge_mm + shape.softness;
  const Point base = frame.origin + frame.z * float(k);
  for (int64_t j = bounds.first[1]; j <= bounds.last[1]; ++j) {
    const Point row = base + frame.y * float(j);
    for (int64_t i = bounds.first[0]; i <= bounds.last[0]; ++i) {
      const Point p = row + frame.x * float(i);
      const float cover = shape.kind == Shape::Kind::capsule ? capsule_cover(shape, p, edge)
                                                             : solid_cover(shape, p, edge);
      if (cover > 0) blend(slice, j * frame.size[0] + i, cover, shape, hu);
    }
  }
}

void paint_thorax(Slice& slice, const Thorax& thorax, const Frame& frame, int64_t k) {
  const Point base = frame.origin + frame.z * float(k);
  for (int64_t j = 0; j < frame.size[1]; ++j) {
    const Point row = base + frame.y * float(j);
    for (int64_t i = 0; i < frame.size[0]; ++i) {
      const auto tissue = thorax.at(row + frame.x * float(i), frame.edge_mm);
      slice.hu[j * frame.size[0] + i] = tissue.hu;
      slice.lung[j * frame.size[0] + i] = tissue.lung;
    }
  }
}

// Sum of four 16-bit uniforms: nearly normal, and the same on every machine.
void add_noise(float* hu, int64_t count, float deviation, uint64_t seed) {
  Random random(seed);
  const float scale = deviation * 1.7320508f / 65536;  // each uniform has variance 2^32 / 12
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = random.next();
    const auto sum =
        float((bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48));
    hu[i] += (sum - 131070) * scale;
  }
}

void mark(const std::vector<float>& cover, at::Tensor& mask, int64_t k) {
  uint8_t* out = mask.mutable_data_ptr<uint8_t>() + k * int64_t(cover.size());
  for (size_t i = 0; i < cover.size(); ++i) out[i] = cover[i] > 0.5f;
}

}  // namespace

Shape capsule(Point a, Point b, double ra, double rb, double hu_contrast, double hu_plain,
              Layer layer) {
  Shape s;
  s.layer = layer;
  s.a = a, s.b = b;
  s.ra = float(ra), s.rb = float(rb);
  s.hu_contrast = float(hu_contrast), s.hu_plain = float(hu_plain);
  return s;
}

Shape ellipsoid(Point centre, Point radii, double hu_contrast, double hu_plain, Layer layer) {
  Shape s = capsule(centre, centre, 0, 0, hu_contrast, hu_plain, layer);
  s.kind = Shape::Kind::ellipsoid;
  s.radii = radii;
  return s;
}

Shape cylinder(Point centre, Point radii, double hu) {
  Shape s = ellipsoid(centre, radii, hu, hu);
  s.kind = Shape::Kind::cylinder;
  return s;
}

void paint(Canvas& canvas, const Thorax& thorax, const Shapes& shapes, const Vec3& offset_mm,
           const PaintOptions& options) {
  const Frame frame(canvas.volume, offset_mm);
  std::vector<Bounds> bounds;
  bounds.reserve(shapes.size());
  for (const Shape& shape : shapes) bounds.push_back(bounds_of(shape, frame));
  if (options.masks)
    for (at::Tensor* mask : {&canvas.lung, &canvas.artery, &canvas.clot})
      *mask = torch::empty(canvas.volume.hu.sizes(), torch::kUInt8);
  float* hu = canvas.volume.hu.mutable_data_ptr<float>();
  const int64_t depth = frame.size[2], plane = frame.size[0] * frame.size[1];
  std::vector<double> clot(depth, 0.0);
  at::parallel_for(0, depth, 1, [&](int64_t begin, int64_t end) {
    Slice slice;
    for (int64_t k = begin; k < end; ++k) {
      slice.hu = hu + k * plane;
      slice.lung.assign(plane, 0), slice.artery.assign(plane, 0), slice.clot.assign(plane, 0);
      paint_thorax(slice, thorax, frame, k);
      for (size_t s = 0; s < shapes.size(); ++s)
        if (bounds[s].first[2] <= k && k <= bounds[s].last[2])
          paint_shape(slice, shapes[s], bounds[s], frame, k, options.contrast);
      if (options.noise_hu > 0)
        add_noise(slice.hu, plane, float(options.noise_hu),
                  options.noise_seed ^ (0xD1342543DE82EF95ull * (k + 1)));
      if (!options.masks) continue;
      mark(slice.lung, canvas.lung, k);
      mark(slice.artery, canvas.artery, k);
      mark(slice.clot, canvas.clot, k);
      for (const float cover : slice.clot) clot[k] += cover;
    }
  });
  const Vec3& s = canvas.volume.spacing_mm;
  canvas.clot_ml = 0;
  for (const double part : clot) canvas.clot_ml += part * s[0] * s[1] * s[2] / 1000;
}

}  // namespace x2ctpa::phantom
