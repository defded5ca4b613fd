#include "imaging/phantom/phantom_thorax.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <utility>

namespace x2ctpa::phantom {
namespace {

constexpr float lowest_z = -300, highest_z = 300, levels_per_mm = 2;
constexpr float rib_zone = 9;       // ribs lie this far outside the pleura
constexpr float pleura_depth = 48;  // costophrenic angle below the dome

using Knots = std::span<const std::pair<double, double>>;

double interpolate(Knots knots, double t) {
  if (t <= knots.front().first) return knots.front().second;
  for (size_t i = 1; i < knots.size(); ++i) {
    if (t > knots[i].first) continue;
    const auto& [t0, v0] = knots[i - 1];
    const auto& [t1, v1] = knots[i];
    double s = (t - t0) / (t1 - t0);
    s = s * s * (3 - 2 * s);
    // Half straight, half eased: no kinks that would show as lines, no steps either.
    return v0 + (v1 - v0) * (0.5 * s + 0.5 * (t - t0) / (t1 - t0));
  }
  return knots.back().second;
}

// Against height: 0 at the apex, 1 at the costophrenic angle.
constexpr std::pair<double, double> cage_width[] = {{-0.3, 0.30}, {-0.05, 0.46}, {0.0, 0.52},
                                                    {0.12, 0.68}, {0.3, 0.86},   {0.5, 0.95},
                                                    {0.75, 1.0},  {1.0, 0.99},   {1.3, 0.95}};
constexpr std::pair<double, double> cage_depth[] = {{-0.3, 0.42}, {0.0, 0.55}, {0.15, 0.72},
                                                    {0.35, 0.88}, {0.6, 0.98}, {0.8, 1.0},
                                                    {1.0, 0.98},  {1.3, 0.92}};
// Against mm above the apex: shoulders, then neck.
constexpr std::pair<double, double> body_width[] = {{-160, 0.97}, {-90, 0.99}, {-40, 1.04},
                                                    {-5, 1.05},   {15, 0.96},  {35, 0.62},
                                                    {55, 0.40},   {110, 0.36}};
constexpr std::pair<double, double> body_depth[] = {{-120, 1.0}, {-60, 0.98}, {-15, 0.86},
                                                    {15, 0.72},  {45, 0.60},  {110, 0.58}};
// Half-width of the mediastinum in mm against the same.
constexpr std::pair<double, double> middle_width[] = {{-200, 19}, {-120, 19}, {-90, 19}, {-60, 17},
                                                      {-20, 15},  {0, 15},    {30, 22}};

float smooth_max(float a, float b, float k) {
  const float h = std::max(k - std::fabs(a - b), 0.0f) / k;
  return std::max(a, b) + h * h * k * 0.25f;
}

}  // namespace

float length(const Point& p) { return std::sqrt(dot(p, p)); }

float ellipse_distance(float x, float y, float rx, float ry) {
  const float u = x / rx, v = y / ry;
  const float k = std::sqrt(u * u + v * v);
  const float gu = u / rx, gv = v / ry;
  const float g = std::sqrt(gu * gu + gv * gv);
  return g > 1e-9f ? k * (k - 1) / g : -std::min(rx, ry);
}

float ellipsoid_distance(const Point& p, const Point& r) {
  const Point q{p.x / r.x, p.y / r.y, p.z / r.z};
  const float k = length(q);
  const float g = length({q.x / r.x, q.y / r.y, q.z / r.z});
  return g > 1e-9f ? k * (k - 1) / g : -std::min({r.x, r.y, r.z});
}

Thorax::Thorax(const Patient& patient) : patient_(patient) {
  hilum_z_ = float(patient.apex_z - 0.46 * patient.height);
  const int count = int((highest_z - lowest_z) * levels_per_mm) + 1;
  levels_.reserve(count);
  for (int i = 0; i < count; ++i) levels_.push_back(make_level(lowest_z + i / levels_per_mm));
}

const Thorax::Level& Thorax::level(float z) const {
  const int i = int((z - lowest_z) * levels_per_mm + 0.5f);
  return levels_[std::clamp(i, 0, int(levels_.size()) - 1)];
}

Thorax::Level Thorax::make_level(float z) const {
  const Patient& p = patient_;
  const double t = (p.apex_z - z) / (p.height + pleura_depth);
  const double above = z - p.apex_z;
  const double shape = 1 + 0.06 * p.pear * (t - 0.5);
  Level l;
  for (int side : {right, left})
    l.width[side] = p.half_width[side] * interpolate(cage_width, t) * shape;
  l.depth = p.half_depth * interpolate(cage_depth, t);
  // The back wall is nearly upright; the breastbone slopes forward towards the feet.
  l.y = 0.55 * (p.half_depth - l.depth) - 4 * std::sin(std::numbers::pi * std::clamp(t, 0., 1.));
  const double widest = 0.5 * (p.half_width[right] + p.half_width[left]);
  const double wall = p.muscle + rib_zone;
  l.fat = p.fat;
  l.body_width = (widest + wall + p.fat) * interpolate(body_width, above);
  l.body_depth = (p.half_depth + 0.8 * wall + 0.8 * p.fat) * interpolate(body_depth, above);
  l.body_y = 0.75 * l.y + 3;
  l.spine_x = p.spine_bend * std::sin(z / 95 + p.spine_phase);
  l.middle_x = 0.5 * l.spine_x + p.middle_shift;
  l.middle_width = interpolate(middle_width, above);
  l.breast = p.breast > 0;
  return l;
}

float Thorax::diaphragm(Side side, float x, float y) const {
  const Level& l = level(float(patient_.dome_z[side]) - 15);
  const float w = l.width[side];
  const float lateral = (std::fabs(x) - 0.46f * w) / (0.54f * w);
  const float depth = (y - l.y + 0.15f * l.depth) / l.depth;
  const float drop = (lateral > 0 ? 36.0f : 14.0f) * lateral * lateral +
                     (depth > 0 ? 46.0f : 20.0f) * depth * depth;
  return float(patient_.dome_z[side]) - drop;
}

float Thorax::lung_distance(const Level& l, Side side, const Point& p, float cage) const {
  const float across = (p.y - l.y) / l.depth;
  // Wider behind, where the spine is, than in the middle; never nothing.
  const float half = 7 + l.middle_width * (1 - 0.55f * across * across) +
                     (across > 0.35f ? 10 * (across - 0.35f) : 0);
  const float middle = half - std::fabs(p.x - l.middle_x);
  float d = smooth_max(cage, middle, 14);
  d = smooth_max(d, diaphragm(side, p.x, p.y) - p.z, 5);
  const Point apex_radii{50, 58, 62};
  const float cap_z = float(patient_.apex_z) - apex_radii.z;
  if (p.z > cap_z - 20) {
    const float sign = side == right ? -1 : 1;
    const Point q{p.x - sign * 47 - l.middle_x, p.y - 9, p.z - cap_z};
    const float cap =
        q.z > 0 ? ellipsoid_distance(q, apex_radii)
                : ellipse_distance(q.x, q.y, apex_radii.x - q.z * 1.6f, apex_radii.y - q.z * 1.6f);
    d = smooth_max(d, cap, 10);
  }
  return d;
}

float Thorax::lung_hu(const Level& l, Side side, const Point& p) const {
  // Blood pools behind in a lying patient: some 30 HU from front to back.
  float hu = float(patient_.lung_hu) + 22 * (p.y - l.y) / l.depth;
  const float loss = float(patient_.oligemia[side]);
  if (loss > 0) hu -= 75 * loss;
  const float fluid = float(patient_.fluid_mm[side]);
  if (fluid > 0) {
    // A surface that rises towards the wall and the back, as the meniscus of an effusion does.
    const float angle_z = float(patient_.dome_z[side]) - pleura_depth;
    const float wall = std::fabs(p.x) / l.width[side];
    const float surface =
        angle_z + fluid * (0.75f + 0.5f * wall * wall) + 14 * (p.y - l.y) / l.depth;
    const float share = coverage((p.z - surface) * 0.9f, 5);
    hu += share * (12 - hu);
  }
  return hu;
}

float Thorax::abdomen_hu(Side side, const Point& p) const {
  if (side == right) return p.x > -12 ? 60 : 85;
  const Point bubble{p.x - 52, p.y + 22, p.z - float(patient_.dome_z[left]) + 42};
  const float gas = coverage(ellipsoid_distance(bubble, {30, 26, 15}), 5);
  return 45 + gas * (-950 - 45);
}

float Thorax::skin_distance(const Level& l, const Point& p) const {
  float d = ellipse_distance(p.x, p.y - l.body_y, l.body_width, l.body_depth);
  if (l.breast > 0 && p.y < 0 && d < 80) {
    const float r = float(patient_.breast);
    const float x = std::fabs(p.x) - 0.55f * float(patient_.half_width[right]);
    const Level& at = level(-30);
    const Point q{x, p.y - at.body_y + 0.80f * at.body_depth, p.z + 32};
    const float breast = ellipsoid_distance(q, {1.3f * r, 0.85f * r, 1.25f * r});
    d = -smooth_max(-d, -breast, 25);
  }
  return d;
}

Thorax::Tissue Thorax::at(const Point& p, float edge_mm) const {
  const Level& l = level(p.z);
  Tissue tissue;
  const float skin = skin_distance(l, p);
  const float body = coverage(skin, edge_mm);
  if (body == 0) return tissue;
  constexpr float fat_hu = -100, muscle_hu = 50, middle_hu = 15;
  const Side side = p.x < l.middle_x ? right : left;
  float hu = fat_hu;
  const float muscle =
      ellipse_distance(p.x, p.y - l.body_y, l.body_width - l.fat, l.body_depth - 0.8f * l.fat);
  hu += coverage(muscle, edge_mm) * (muscle_hu - hu);
  const float cage = ellipse_distance(p.x, p.y - l.y, l.width[side], l.depth);
  if (cage < edge_mm) {
    const float inside = coverage(cage, edge_mm);
    const float below = coverage(p.z - diaphragm(side, p.x, p.y), edge_mm);
    const float content = middle_hu + below * (abdomen_hu(side, p) - middle_hu);
    // The neck has no cavity; above the apex the "cage" is muscle.
    if (p.z < patient_.apex_z) hu += inside * (content - hu);
    tissue.lung = coverage(lung_distance(l, side, p, cage + 2), edge_mm);
    if (tissue.lung > 0) {
      const float air = lung_hu(l, side, p);
      hu += tissue.lung * (air - hu);
      if (air > -400) tissue.lung = 0;
    }
  }
  tissue.hu = -1000 + body * (hu + 1000);
  return tissue;
}

Point Thorax::lung_point(Side side, float across, float depth, float height) const {
  const float sign = side == right ? -1 : 1;
  const float top = float(patient_.apex_z) - 9;
  // Diaphragm under a place needs x, which needs z: two rounds are near enough.
  Point p{sign * 75, 0, 0};
  for (int round = 0; round < 3; ++round) {
    const float floor = diaphragm(side, p.x, p.y) + 7;
    p.z = floor + height * (top - floor);
    const Level& l = level(p.z);
    p.y = l.y + depth * 0.86f * l.depth;
    const float from = l.middle_width + 20;
    float to = (l.width[side] - 7) * std::sqrt(std::max(0.05f, 1 - 0.78f * depth * depth));
    const float near_top = std::max(0.0f, (p.z - top + 60) / 60);
    to = std::min(to, to + near_top * near_top * (70 - to));
    p.x = l.middle_x + sign * (from + across * std::max(4.0f, to - from));
  }
  return p;
}

}  // namespace x2ctpa::phantom
