// The numbers that make one simulated patient.
//
// Anatomy frame, mm: x to the patient's left, y to the back, z to the head; the origin lies in the
// mid-line, about half-way up the lungs.
#pragma once

#include <array>
#include <cstdint>

#include "x2ctpa/imaging/phantom/phantom.h"

namespace x2ctpa::phantom {

/// SplitMix64 (Steele et al., 2014); not std::*_distribution, whose numbers differ by library.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  double uniform(double low = 0, double high = 1);
  /// Normal, cut off at 2.2 standard deviations so that no organ leaves the plausible.
  double normal(double mean = 0, double deviation = 1);
  bool chance(double probability) { return uniform() < probability; }

 private:
  uint64_t state_;
};

enum Side { right = 0, left = 1 };

struct Patient {
  bool female = false;
  // chest wall
  std::array<double, 2> half_width{};  ///< inner rib cage, per side, at its widest
  double half_depth = 0, pear = 0;     ///< pear > 0: wide below, narrow above
  double muscle = 0, fat = 0, breast = 0;
  // lungs
  double apex_z = 0, height = 0;
  std::array<double, 2> dome_z{};  ///< top of the diaphragm
  double lung_hu = -810;
  // middle
  double spine_bend = 0, spine_phase = 0, middle_shift = 0;
  double heart_ratio = 0.47, heart_shift = 0;
  double aorta_radius = 0, aorta_tortuosity = 0, pa_scale = 1;
  // contrast
  double pa_hu = 0, aorta_hu = 0, vein_hu = 0, svc_hu = 0;
  // disease
  PhantomTruth truth;
  std::array<double, 2> fluid_mm{};     ///< height of an effusion over the costophrenic angle
  std::array<double, 2> oligemia{};     ///< 0 to 1: loss of vessels and density
  Vec3 wedge_place{}, opacity_place{};  ///< side (-1, 1), depth (-1, 1), height (0, 1)
  double wedge_radius = 0, opacity_radius = 0;
  // place
  Vec3 offset_mm{};
  Mat3 direction{};
  Vec3 jitter_mm{};
  uint64_t detail_seed = 0;  ///< jitter of vessels, clots
  uint64_t noise_seed = 0;
};

Patient draw_patient(const PhantomOptions& options, int64_t seed, int64_t index);

}  // namespace x2ctpa::phantom
