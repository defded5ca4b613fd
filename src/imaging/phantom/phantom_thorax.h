// The trunk as implicit surfaces: skin, fat, muscle, rib cage, diaphragm, lungs, effusions.
#pragma once

#include <vector>

#include "imaging/phantom/phantom_patient.h"

namespace x2ctpa::phantom {

struct Point {
  float x = 0, y = 0, z = 0;
  Point operator+(const Point& o) const { return {x + o.x, y + o.y, z + o.z}; }
  Point operator-(const Point& o) const { return {x - o.x, y - o.y, z - o.z}; }
  Point operator*(float s) const { return {x * s, y * s, z * s}; }
};

inline float dot(const Point& a, const Point& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
float length(const Point& p);

/// How much of a voxel lies inside a surface at signed distance `d` mm from its centre.
inline float coverage(float d, float edge_mm) {
  const float c = 0.5f - d / edge_mm;
  return c < 0 ? 0 : c > 1 ? 1 : c;
}

/// Signed distance to an ellipse or ellipsoid to first order (exact at the surface): k (k - 1) / g
/// with k = |p / r| and g = |p / r^2|.
float ellipse_distance(float x, float y, float rx, float ry);
float ellipsoid_distance(const Point& p, const Point& r);

class Thorax {
 public:
  explicit Thorax(const Patient& patient);

  struct Tissue {
    float hu = -1000;
    float lung = 0;  ///< coverage by lung
  };
  /// Tissue at a point, edges `edge_mm` wide.
  Tissue at(const Point& p, float edge_mm) const;

  // Landmarks for bones, heart and vessels.
  float spine_x(float z) const { return level(z).spine_x; }
  float middle_y(float z) const { return level(z).y; }
  float half_depth(float z) const { return level(z).depth; }
  float half_width(Side side, float z) const { return level(z).width[side]; }
  float body_half_width(float z) const { return level(z).body_width; }
  /// Height of the diaphragm over (x, y).
  float diaphragm(Side side, float x, float y) const;
  /// A place in a lung: across from mediastinum (0) to chest wall (1), depth from front (-1) to
  /// back (1), height from the diaphragm below it (0) to the apex (1).
  Point lung_point(Side side, float across, float depth, float height) const;
  /// z of the lung hila.
  float hilum_z() const { return hilum_z_; }
  const Patient& patient() const { return patient_; }

 private:
  struct Level {
    float width[2], depth, y;                   // inner rib cage
    float body_width, body_depth, body_y, fat;  // skin
    float spine_x, middle_x, middle_width;      // mediastinum
    float breast;                               // 1 where breasts may be
  };
  const Level& level(float z) const;
  Level make_level(float z) const;
  float lung_distance(const Level& l, Side side, const Point& p, float cage) const;
  float lung_hu(const Level& l, Side side, const Point& p) const;
  float abdomen_hu(Side side, const Point& p) const;
  float skin_distance(const Level& l, const Point& p) const;

  Patient patient_;
  std::vector<Level> levels_;
  float hilum_z_;
};

}  // namespace x2ctpa::phantom
