// Pulmonary vessels: hand-placed central arteries, and peripheral trees grown once, in the unit
// frame of a lung, by splitting a cloud of end points again and again (after Wang, Bates and
// Willemsen, J Appl Physiol 72 (1992) 2202), then bent to each patient's lungs.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "imaging/phantom/phantom_organs.h"

namespace x2ctpa::phantom {
namespace {

constexpr float end_radius = 1.15f;      // of the finest branches, mm
constexpr float branching_power = 2.6f;  // r0^n = r1^n + r2^n; near Murray's 3

// A branch of a template: unit lung coordinates (across, depth, height) of its ends.
struct Branch {
  Point from, to;
  int parent = -1;  // index of the branch before
  int ends = 1;     // end points that it feeds
};
using Tree = std::vector<Branch>;

struct Region {
  Point low, high;  // box in unit lung coordinates
  Point start;
  int ends;
};

void grow(Tree& tree, const Point& from, int parent, std::vector<Point> cloud) {
  Point middle;
  for (const Point& p : cloud) middle = middle + p * (1.0f / float(cloud.size()));
  const bool last = cloud.size() == 1;
  const Point to = last ? middle : from + (middle - from) * 0.52f;
  tree.push_back({from, to, parent, int(cloud.size())});
  if (last) return;
  const int self = int(tree.size()) - 1;
  // Split across the widest direction; depth counts less, since lungs are flatter than tall.
  Point low = cloud[0], high = cloud[0];
  for (const Point& p : cloud) {
    low = {std::min(low.x, p.x), std::min(low.y, p.y), std::min(low.z, p.z)};
    high = {std::max(high.x, p.x), std::max(high.y, p.y), std::max(high.z, p.z)};
  }
  const float spread[3] = {high.x - low.x, 0.9f * (high.y - low.y), 1.7f * (high.z - low.z)};
  const auto axis = std::max_element(spread, spread + 3) - spread;
  const auto key = [axis](const Point& p) { return axis == 0 ? p.x : axis == 1 ? p.y : p.z; };
  std::sort(cloud.begin(), cloud.end(),
            [&](const Point& a, const Point& b) { return key(a) < key(b); });
  const auto half = std::ptrdiff_t(cloud.size() / 2);
  grow(tree, to, self, {cloud.begin(), cloud.begin() + half});
  grow(tree, to, self, {cloud.begin() + half, cloud.end()});
}

Tree make_tree(const Region& region, uint64_t seed) {
  Random random(seed);
  std::vector<Point> cloud;
  for (int i = 0; i < region.ends; ++i) {
    // Best of some candidates: end points keep their distance, as acini do.
    Point best;
    float best_distance = -1;
    for (int attempt = 0; attempt < 12; ++attempt) {
      const Point p{float(random.uniform(region.low.x, region.high.x)),
                    float(random.uniform(region.low.y, region.high.y)),
                    float(random.uniform(region.low.z, region.high.z))};
      float nearest = 9;
      for (const Point& other : cloud) nearest = std::min(nearest, length(p - other));
      if (nearest > best_distance) best = p, best_distance = nearest;
    }
    cloud.push_back(best);
  }
  Tree tree;
  grow(tree, region.start, -1, std::move(cloud));
  return tree;
}

struct Templates {
  Tree arteries[2][3], veins[2][2];  // [side][upper, middle or lingula, lower]; [upper, lower]
};

const Templates& templates() {
  static const Templates made = [] {
    const Region upper{{0.05f, -0.9f, 0.58f}, {0.97f, 0.85f, 0.98f}, {0.1f, 0.0f, 0.62f}, 24};
    const Region middle{{0.15f, -0.95f, 0.12f}, {0.95f, -0.2f, 0.55f}, {0.1f, 0.1f, 0.45f}, 14};
    const Region lower{{0.05f, -0.15f, 0.04f}, {0.97f, 0.97f, 0.60f}, {0.1f, 0.25f, 0.42f}, 32};
    const Region vein_up{{0.1f, -0.9f, 0.5f}, {0.95f, 0.7f, 0.95f}, {0.0f, 0.1f, 0.42f}, 20};
    const Region vein_low{{0.1f, -0.8f, 0.05f}, {0.95f, 0.9f, 0.5f}, {0.0f, 0.2f, 0.36f}, 22};
    Templates t;
    for (uint64_t side : {0, 1}) {
      t.arteries[side][0] = make_tree(upper, 101 + side);
      t.arteries[side][1] = make_tree(middle, 201 + side);
      t.arteries[side][2] = make_tree(lower, 301 + side);
      t.veins[side][0] = make_tree(vein_up, 401 + side);
      t.veins[side][1] = make_tree(vein_low, 501 + side);
    }
    return t;
  }();
  return made;
}

float radius_of(int ends) { return end_radius * std::pow(float(ends), 1 / branching_power); }

// Lays a template into a lung from the physical point `root`.
std::vector<Artery> lay(const Tree& tree, const Thorax& thorax, Side side, const Point& root,
                        float root_radius, Random& random) {
  std::vector<Artery> pieces(tree.size());
  const float thin = 1 - 0.4f * float(thorax.patient().oligemia[side]);
  for (size_t i = 0; i < tree.size(); ++i) {
    const Branch& b = tree[i];
    const Point shift{float(random.normal(0, 1.6)), float(random.normal(0, 1.6)),
                      float(random.normal(0, 1.6))};
    Artery& piece = pieces[i];
    piece.a = b.parent < 0 ? root : pieces[b.parent].b;
    piece.b = thorax.lung_point(side, b.to.x, b.to.y, b.to.z) + shift;
    piece.rb = radius_of(b.ends) * thin;
    piece.ra = b.parent < 0 ? root_radius : pieces[b.parent].rb;
    piece.ra = std::min(piece.ra, 1.35f * piece.rb + (b.parent < 0 ? 3.0f : 0.0f));
  }
  return pieces;
}

std::vector<Artery> central_arteries(const Thorax& thorax) {
  using Place = Artery::Place;
  const Patient& p = thorax.patient();
  const float h = thorax.hilum_z();
  const auto s = float(p.pa_scale);
  const float x = 0.6f * float(p.middle_shift);
  const float y = thorax.middle_y(h) + 0.06f * thorax.half_depth(h);
  const float side_x = 0.5f * float(p.half_width[right] + p.half_width[left]) / 128;
  const auto at = [&](float px, float py, float pz) {
    return Point{x + px * side_x, y + py, h + pz};
  };
  // An enlarged main artery also bulges to the left, where the X-ray shows it.
  const float bulge = 26 * (s - 1);
  const Point root = at(14, -44, -34), top = at(22 + bulge, -26, 4), fork = at(15, -6, 13);
  const Point right_mid = at(-14, 2, 8), right_end = at(-42, 8, 2);
  const Point left_mid = at(32 + 0.5f * bulge, 8, 17), left_end = at(47, 20, 7);
  return {{root, top, 13.0f * s, 13.5f * s, Place::main},
          {top, fork, 13.5f * s, 12.0f * s, Place::main},
          {fork, right_mid, 11.0f * s, 10.5f * s, Place::right_main},
          {right_mid, right_end, 10.5f * s, 9.5f * s, Place::right_main},
          {fork, left_mid, 11.5f * s, 10.5f * s, Place::left_main},
          {left_mid, left_end, 10.5f * s, 9.5f * s, Place::left_main},
          {right_end, at(-54, 17, -26), 8.5f * s, 7.0f * s, Place::right_lobar},
          {right_mid, at(-50, 2, 27), 7.0f * s, 5.8f * s, Place::right_lobar},
          {left_end, at(54, 28, -24), 8.5f * s, 7.0f * s, Place::left_lobar},
          {left_end, at(56, 4, 26), 6.5f * s, 5.5f * s, Place::left_lobar}};
}

void add_veins(Shapes& shapes, const Thorax& thorax, Random& random) {
  const Patient& p = thorax.patient();
  const float h = thorax.hilum_z() - 24;
  const float y = thorax.middle_y(h) + 0.12f * thorax.half_depth(h);
  for (const Side side : {right, left}) {
    const float sign = side == right ? -1 : 1;
    for (int lobe : {0, 1}) {
      const Point atrium{sign * 16, y + 6, h - 8.0f * lobe};
      const Point root{sign * 42, y + (lobe ? 12.0f : -8.0f), h + (lobe ? -14.0f : 6.0f)};
      shapes.push_back(capsule(atrium, root, 7, 5.5, p.vein_hu, blood_hu));
      for (const Artery& v : lay(templates().veins[side][lobe], thorax, side, root, 5.5f, random))
        shapes.push_back(
            capsule(v.a, v.b, 0.9f * v.ra, 0.9f * v.rb, p.vein_hu, blood_hu, Layer::in_lung));
    }
  }
}

}  // namespace

std::vector<Artery> add_pulmonary_vessels(Shapes& shapes, const Thorax& thorax) {
  const Patient& p = thorax.patient();
  Random random(p.detail_seed);
  add_veins(shapes, thorax, random);
  std::vector<Artery> arteries = central_arteries(thorax);
  const Artery right_low = arteries[6], right_up = arteries[7];
  const Artery left_low = arteries[8], left_up = arteries[9];
  for (const Side side : {right, left}) {
    const Artery& up = side == right ? right_up : left_up;
    const Artery& low = side == right ? right_low : left_low;
    const Artery* roots[3] = {&up, side == right ? &low : &up, &low};
    for (int lobe : {0, 1, 2}) {
      const auto tree = lay(templates().arteries[side][lobe], thorax, side, roots[lobe]->b,
                            roots[lobe]->rb, random);
      arteries.insert(arteries.end(), tree.begin(), tree.end());
    }
  }
  for (const Artery& v : arteries)
    shapes.push_back(
        capsule(v.a, v.b, v.ra, v.rb, p.pa_hu, blood_hu,
                v.place == Artery::Place::peripheral ? Layer::lung_artery : Layer::artery));
  return arteries;
}

namespace {

// A clot along [t0, t1] of a piece of artery, `fill` of its radius, off its axis by `aside`.
void add_clot(Shapes& shapes, const Artery& v, double t0, double t1, double fill, Point aside,
              double hu) {
  const auto at = [&](double t) {
    const auto f = float(t);
    return v.a + (v.b - v.a) * f + aside * (v.ra + f * (v.rb - v.ra));
  };
  const auto r = [&](double t) { return fill * (v.ra + t * (v.rb - v.ra)); };
  shapes.push_back(capsule(at(t0), at(t1), r(t0), r(t1), hu, blood_hu, Layer::clot));
}

}  // namespace

void add_clots(Shapes& shapes, const std::vector<Artery>& arteries, const Patient& p) {
  using Place = Artery::Place;
  if (!p.truth.pe) return;
  Random random(p.detail_seed ^ 0xC107C107C107C107ull);
  const double hu = random.uniform(30, 80);
  // One side or both (saddle); within a side the main artery, or all lobar branches, or both.
  const bool saddle = random.chance(0.3);
  const bool right_side = saddle || random.chance(0.6), left_side = saddle || !right_side;
  const bool in_main = saddle || random.chance(0.75);
  const auto aside = [&] {
    return Point{float(random.uniform(-0.1, 0.1)), float(random.uniform(-0.12, 0.12)),
                 float(random.uniform(-0.12, 0.12))};
  };
  for (const Artery& v : arteries) {
    const bool right_piece = v.place == Place::right_main || v.place == Place::right_lobar;
    const bool left_piece = v.place == Place::left_main || v.place == Place::left_lobar;
    if (!((right_piece && right_side) || (left_piece && left_side))) continue;
    const bool main_piece = v.place == Place::right_main || v.place == Place::left_main;
    if (main_piece && !in_main) continue;
    if (!main_piece && in_main && random.chance(0.35)) continue;
    add_clot(shapes, v, random.uniform(0, 0.1), random.uniform(0.9, 1), random.uniform(0.78, 0.95),
             aside(), hu + random.normal(0, 4));
  }
  std::vector<const Artery*> segmental;
  for (const Artery& v : arteries)
    if (v.place == Place::peripheral && v.rb > 2.2f && v.rb < 4.5f) segmental.push_back(&v);
  const int wanted = int(random.uniform(1, 6));
  for (int i = 0; i < wanted && !segmental.empty(); ++i)
    add_clot(shapes, *segmental[random.next() % segmental.size()], 0.05, 0.95, 0.95, {}, hu);
}

}  // namespace x2ctpa::phantom
