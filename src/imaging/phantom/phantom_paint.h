// Painting analytic shapes onto the voxels of any grid, with soft edges.
#pragma once

#include <vector>

#include "imaging/phantom/phantom_thorax.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa::phantom {

/// What a shape does to what lies beneath it.
enum class Layer : uint8_t {
  tissue,       ///< covers; what it covers is no longer lung
  in_lung,      ///< only where there is lung; still counts as lung (veins, opacities)
  artery,       ///< covers; counts as pulmonary artery, not as lung
  lung_artery,  ///< an artery that shows only where there is lung
  clot,         ///< only where there is artery
};

struct Shape {
  enum class Kind : uint8_t { capsule, ellipsoid, cylinder } kind = Kind::capsule;
  Layer layer = Layer::tissue;
  Point a, b;            ///< capsule: ends; else a is the centre
  float ra = 0, rb = 0;  ///< capsule: radii at the ends
  Point radii;           ///< ellipsoid: half-axes; cylinder: half-axes x, y and half-height z
  float axes[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};  ///< rows: the ellipsoid's own axes
  float hu_contrast = 0, hu_plain = 0;                   ///< with and without contrast medium
  float softness = 0;                                    ///< extra width of the edge in mm
};

using Shapes = std::vector<Shape>;

Shape capsule(Point a, Point b, double ra, double rb, double hu_contrast, double hu_plain,
              Layer layer = Layer::tissue);
Shape ellipsoid(Point centre, Point radii, double hu_contrast, double hu_plain,
                Layer layer = Layer::tissue);
Shape cylinder(Point centre, Point radii, double hu);

/// Where painting lands. Masks are left undefined unless asked for.
struct Canvas {
  Volume volume;                  ///< geometry given; hu is filled
  at::Tensor lung, artery, clot;  ///< uint8 (D, H, W)
  double clot_ml = 0;
};

struct PaintOptions {
  bool contrast = true;
  bool masks = true;
  double noise_hu = 0;
  uint64_t noise_seed = 0;
};

/// Paints the thorax, then `shapes` in their order, onto the grid of `canvas.volume` (its hu tensor
/// gives the size). `offset_mm` is the LPS place of the anatomy frame's origin.
void paint(Canvas& canvas, const Thorax& thorax, const Shapes& shapes, const Vec3& offset_mm,
           const PaintOptions& options);

}  // namespace x2ctpa::phantom
