#include <cmath>
#include <numbers>

#include "imaging/phantom/phantom_organs.h"

namespace x2ctpa::phantom {
namespace {

// Cortical bone 500 to 900 HU, spongy bone of a vertebra 100 to 250 HU (Schreiber et al., J Bone
// Joint Surg 93 (2011) 1057), cartilage of ribs about 100 HU.
constexpr double cortical_hu = 450, spongy_hu = 140, rib_hu = 480, cartilage_hu = 110;
constexpr float vertebra_mm = 23;

float spine_y(const Thorax& thorax, float z) {
  return thorax.middle_y(z) + thorax.half_depth(z) - 13;
}

void add_spine(Shapes& shapes, const Thorax& thorax) {
  const auto top = float(thorax.patient().apex_z);
  for (int i = -4; i < 14; ++i) {
    const float z = top + 8 - vertebra_mm * i;
    const float size = 0.8f + 0.025f * std::min(i + 4, 14);
    const Point c{thorax.spine_x(z), spine_y(thorax, z), z};
    shapes.push_back(cylinder(c, {23 * size, 20 * size, 12.5f}, 55));
  }
  for (int i = -4; i < 14; ++i) {
    const float z = top + 8 - vertebra_mm * i;
    const float size = 0.8f + 0.025f * std::min(i + 4, 14);
    const Point c{thorax.spine_x(z), spine_y(thorax, z), z};
    shapes.push_back(cylinder(c, {17 * size, 14 * size, 9.8f}, cortical_hu));
    shapes.push_back(cylinder(c, {14.5f * size, 11.5f * size, 8.2f}, spongy_hu));
    const float behind = 14 * size;
    for (const float side : {-1.0f, 1.0f}) {
      const Point root = c + Point{side * 10, behind, 2};
      shapes.push_back(capsule(root, c + Point{side * 13, behind + 11, 1}, 4, 4, 320, 320));
      shapes.push_back(capsule(c + Point{side * 13, behind + 9, 1},
                               c + Point{side * 30, behind + 15, 4}, 4, 3.4, 320, 320));
      shapes.push_back(capsule(c + Point{side * 13, behind + 11, 1}, c + Point{0, behind + 21, -4},
                               3.5, 3.5, 320, 320));
    }
    shapes.push_back(
        capsule(c + Point{0, behind + 20, -4}, c + Point{0, behind + 32, -16}, 3.6, 3, 400, 400));
    // Spinal canal.
    shapes.push_back(cylinder(c + Point{0, behind + 9, 0}, {8, 7, 12}, 30));
  }
}

// Where rib `rib` (0 is the first) lies at `angle`: 0 at the spine, pi in front.
Point rib_point(const Thorax& thorax, Side side, int rib, float angle) {
  const Patient& p = thorax.patient();
  const float start = float(p.apex_z) - 2 - 21.5f * rib * float(p.height / 190);
  // Ribs run down and forward, the lower the steeper, and rise again a little in front.
  const float slope = 26 + 5.5f * std::min(rib, 8);
  const float turn = angle / std::numbers::pi_v<float>;
  const float z = start + 4 * std::sin(turn * 9) * (turn < 0.15f) -
                  slope * (1.25f * turn + 0.35f * std::sin(turn * 2.6f));
  const float sign = side == right ? -1 : 1;
  const float out = 4.5f;
  const float w = thorax.half_width(side, z) + out, d = thorax.half_depth(z) + out;
  return {sign * w * std::sin(angle) + thorax.spine_x(z) * std::max(0.0f, 1 - 4 * turn),
          thorax.middle_y(z) + d * std::cos(angle), z};
}

void add_ribs(Shapes& shapes, const Thorax& thorax) {
  for (const Side side : {right, left})
    for (int rib = 0; rib < 12; ++rib) {
      const float from = 0.24f + 0.02f * (rib == 0);
      const float to = rib < 7 ? 2.45f : rib < 10 ? 2.15f : rib == 10 ? 1.5f : 1.0f;
      const int pieces = rib < 10 ? 15 : 9;
      Point before = rib_point(thorax, side, rib, from);
      for (int i = 1; i <= pieces; ++i) {
        const Point here = rib_point(thorax, side, rib, from + (to - from) * i / pieces);
        const double r = rib == 0 ? 5.2 : 4.9;
        shapes.push_back(capsule(before, here, r, r, rib_hu, rib_hu));
        before = here;
      }
      if (rib >= 10) continue;
      const float to_z = float(thorax.patient().apex_z) - 35 - 12.0f * std::min(rib, 7);
      const Point bone{(side == right ? -17.0f : 17.0f),
                       thorax.middle_y(to_z) - thorax.half_depth(to_z) - 3, to_z};
      shapes.push_back(capsule(before, bone, 4.5, 4.5, cartilage_hu, cartilage_hu));
    }
}

void add_front(Shapes& shapes, const Thorax& thorax) {
  const auto top = float(thorax.patient().apex_z);
  for (int i = 0; i < 7; ++i) {
    const float z = top - 34 - 16.0f * i;
    const Point c{0, thorax.middle_y(z) - thorax.half_depth(z) - 4, z};
    const float wide = i == 0 ? 26 : i == 1 ? 21 : i == 6 ? 12 : 17;
    shapes.push_back(cylinder(c, {wide, 6, 8.6f}, 330));
  }
  const Point notch{0, thorax.middle_y(top - 28) - thorax.half_depth(top - 28) - 3, top - 27};
  for (const float side : {-1.0f, 1.0f}) {
    const float reach = thorax.body_half_width(top - 10);
    const Point inner = notch + Point{side * 20, 0, 0};
    const Point middle = notch + Point{side * 0.42f * reach, 12, 13};
    const Point outer = notch + Point{side * 0.86f * reach, 45, 30};
    shapes.push_back(capsule(inner, middle, 7, 5.5, rib_hu, rib_hu));
    shapes.push_back(capsule(middle, outer, 5.5, 5.5, rib_hu, rib_hu));
  }
}

void add_shoulder_blades(Shapes& shapes, const Thorax& thorax) {
  const auto top = float(thorax.patient().apex_z);
  for (const Side side : {right, left}) {
    const float sign = side == right ? -1 : 1;
    const float z = top - 58;
    const float w = thorax.half_width(side, z), d = thorax.half_depth(z);
    const auto on_back = [&](float angle, float height, float out) {
      return Point{sign * (w + out) * std::sin(angle),
                   thorax.middle_y(z) + (d + out) * std::cos(angle), z + height};
    };
    // A thin blade as a fan of tubes from the socket.
    const Point socket{sign * 0.84f * thorax.body_half_width(top - 10), 32, top - 2};
    for (int i = 0; i < 6; ++i)
      shapes.push_back(
          capsule(socket, on_back(0.62f + 0.045f * i, 28 - 18.0f * i, 15), 4, 2.2, 260, 260));
    shapes.push_back(capsule(on_back(0.62f, 28, 15), on_back(0.86f, -66, 15), 3, 3, 380, 380));
    shapes.push_back(capsule(socket, on_back(0.86f, -66, 15), 4.5, 3, 420, 420));
    shapes.push_back(ellipsoid(socket + Point{sign * 6, -2, 0}, {11, 13, 18}, 350, 350));
  }
}

}  // namespace

void add_bones(Shapes& shapes, const Thorax& thorax) {
  add_spine(shapes, thorax);
  add_ribs(shapes, thorax);
  add_front(shapes, thorax);
  add_shoulder_blades(shapes, thorax);
}

}  // namespace x2ctpa::phantom
