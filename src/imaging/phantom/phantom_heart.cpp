#include <cmath>

#include "imaging/phantom/phantom_organs.h"

namespace x2ctpa::phantom {
namespace {

constexpr double muscle_hu = 48;  // without contrast
constexpr double enhanced_muscle_hu = 95;

// Own axes of the heart: the first points to its apex, left, down and forward.
void turn_heart(Shape& shape) {
  const float along[3] = {0.76f, -0.38f, -0.53f};
  const float across[3] = {0.447f, 0.894f, 0.0f};
  const float up[3] = {along[1] * across[2] - along[2] * across[1],
                       along[2] * across[0] - along[0] * across[2],
                       along[0] * across[1] - along[1] * across[0]};
  for (int c : {0, 1, 2}) {
    shape.axes[0][c] = along[c];
    shape.axes[1][c] = across[c];
    shape.axes[2][c] = up[c];
  }
}

void add_aorta(Shapes& shapes, const Thorax& thorax, const Point& heart, float size) {
  const Patient& p = thorax.patient();
  const float r = float(p.aorta_radius);
  const float arch = thorax.hilum_z() + 46;
  const float back_y = thorax.middle_y(arch) + 0.52f * thorax.half_depth(arch);
  const float left_x = 21 + 6 * float(p.aorta_tortuosity);
  const float mid = heart.x - 0.3f * size;
  const Point path[] = {heart + Point{-0.05f * size, -0.05f * size, 0.25f * size},
                        {mid - 20, heart.y + 0.08f * size, thorax.hilum_z() + 10},
                        {mid - 15, heart.y + 0.22f * size, thorax.hilum_z() + 32},
                        {2, 0.5f * (heart.y + back_y) - 4, arch},
                        {left_x - 2, back_y - 10, arch - 3},
                        {left_x, back_y, arch - 22}};
  for (int i = 0; i + 1 < 6; ++i)
    shapes.push_back(capsule(path[i], path[i + 1], i < 2 ? 1.18 * r : r, r, p.aorta_hu, blood_hu));
  Point before = path[5];
  for (float z = arch - 45; z > -260; z -= 24) {
    const float down = std::min(1.0f, (arch - z) / 190);
    const Point here{left_x * (1 - 0.75f * down) + thorax.spine_x(z) * 0.7f,
                     thorax.middle_y(z) + thorax.half_depth(z) * 0.56f, z};
    shapes.push_back(capsule(before, here, 0.88 * r, 0.85 * r, p.aorta_hu, blood_hu));
    before = here;
  }
  // Branches of the arch.
  const float neck = float(p.apex_z) + 20;
  shapes.push_back(capsule(path[3], {-14, path[3].y - 4, neck}, 6, 5, p.aorta_hu, blood_hu));
  shapes.push_back(
      capsule(path[3] + Point{6, 4, 0}, {18, path[3].y, neck}, 4.5, 4, p.aorta_hu, blood_hu));
  shapes.push_back(capsule(path[4], {24, path[4].y, neck - 5}, 5, 5, p.aorta_hu, blood_hu));
}

void add_caval_veins(Shapes& shapes, const Thorax& thorax, const Point& atrium) {
  const Patient& p = thorax.patient();
  const float top = float(p.apex_z);
  const Point join{-24 + 0.4f * float(p.middle_shift), atrium.y + 8, thorax.hilum_z() + 46};
  shapes.push_back(capsule(atrium, join, 10, 9, p.svc_hu, blood_hu));
  shapes.push_back(capsule(join, {-34, join.y - 8, top + 8}, 8, 6.5, p.svc_hu, blood_hu));
  shapes.push_back(capsule(join, {26, join.y - 16, top - 14}, 7, 6, 0.6 * p.svc_hu, blood_hu));
  shapes.push_back(capsule(atrium, {-16, 18, -170}, 12, 11, 110, blood_hu));
}

}  // namespace

void add_heart(Shapes& shapes, const Thorax& thorax) {
  const Patient& p = thorax.patient();
  const double inner = p.half_width[right] + p.half_width[left];
  // The heart's shadow is about 1.72 half-lengths wide with the tilt above.
  const float size = float(p.heart_ratio * inner / 1.72);
  const float floor = float(0.5 * (p.dome_z[right] + p.dome_z[left]));
  const float shift = float(p.middle_shift + p.heart_shift);
  const Point heart{0.30f * size + shift,
                    thorax.middle_y(floor + 40) - 0.26f * thorax.half_depth(floor + 40),
                    floor + 0.58f * size};
  const auto part = [&](Point at, Point r, double contrast, double plain) {
    Shape s = ellipsoid(heart + at * size, r * size, contrast, plain);
    turn_heart(s);
    shapes.push_back(s);
  };
  const Point atrium = heart + Point{-0.66f, 0.10f, 0.16f} * size;
  shapes.push_back(
      ellipsoid(atrium, Point{0.36f, 0.42f, 0.50f} * size, enhanced_muscle_hu, muscle_hu));
  part({0, 0, 0}, {1.0f, 0.68f, 0.70f}, enhanced_muscle_hu, muscle_hu);
  shapes.push_back(ellipsoid(heart + Point{-0.10f, 0.42f, 0.34f} * size,
                             Point{0.50f, 0.32f, 0.34f} * size, p.vein_hu, blood_hu));
  shapes.push_back(ellipsoid(atrium, Point{0.31f, 0.37f, 0.44f} * size, 1.08 * p.pa_hu, blood_hu));
  part({0.30f, 0.08f, -0.14f}, {0.50f, 0.33f, 0.34f}, p.aorta_hu, blood_hu);
  part({-0.06f, -0.34f, -0.14f}, {0.58f, 0.24f, 0.38f}, p.pa_hu, blood_hu);
  add_aorta(shapes, thorax, heart, size);
  add_caval_veins(shapes, thorax, atrium);
}

void add_airways(Shapes& shapes, const Thorax& thorax) {
  const float top = float(thorax.patient().apex_z);
  const float carina = thorax.hilum_z() + 24;
  const float y = thorax.middle_y(carina) + 0.24f * thorax.half_depth(carina);
  const float x = 0.5f * float(thorax.patient().middle_shift);
  const Point fork{x, y, carina};
  const Point pieces[][2] = {{{0, y - 26, top + 100}, {x - 1, y - 10, top - 10}},
                             {{x - 1, y - 10, top - 10}, fork},
                             {fork, {x - 30, y + 8, carina - 22}},
                             {{x - 30, y + 8, carina - 22}, {x - 44, y + 14, carina - 52}},
                             {fork, {x + 40, y + 13, carina - 30}},
                             {{x + 40, y + 13, carina - 30}, {x + 48, y + 24, carina - 58}}};
  const double radius[] = {9, 8.8, 7, 4.5, 6.2, 4.2};
  for (int i = 0; i < 6; ++i)
    shapes.push_back(capsule(pieces[i][0], pieces[i][1], radius[i] + 1.6, radius[i] + 1.6, 30, 30));
  for (int i = 0; i < 6; ++i)
    shapes.push_back(capsule(pieces[i][0], pieces[i][1], radius[i], radius[i], -960, -960));
}

void add_opacities(Shapes& shapes, const Thorax& thorax) {
  const Patient& p = thorax.patient();
  const auto add = [&](const Vec3& place, double radius, float across, double hu, float soft,
                       Point shape) {
    const Side side = place[0] < 0 ? right : left;
    const Point c = thorax.lung_point(side, across, float(place[1]), float(place[2]));
    Shape s = ellipsoid(c, shape * float(radius), hu, hu, Layer::in_lung);
    s.softness = soft;
    shapes.push_back(s);
  };
  // An infarct is dense and sits on the pleura; the bystander is a soft cloud further in.
  if (p.truth.wedge) add(p.wedge_place, p.wedge_radius, 0.95f, -30, 8, {1.0f, 1.25f, 0.85f});
  if (p.truth.opacity) add(p.opacity_place, p.opacity_radius, 0.5f, -350, 18, {1.0f, 1.1f, 1.0f});
}

}  // namespace x2ctpa::phantom
