// The organs of a simulated patient as shapes, in the order in which they are painted.
#pragma once

#include <vector>

#include "imaging/phantom/phantom_paint.h"

namespace x2ctpa::phantom {

constexpr double blood_hu = 42;  ///< without contrast

/// Spine, ribs with cartilage, breastbone, collar bones, shoulder blades.
void add_bones(Shapes& shapes, const Thorax& thorax);

/// Heart with its chambers, aorta, caval veins.
void add_heart(Shapes& shapes, const Thorax& thorax);

/// Trachea and main bronchi.
void add_airways(Shapes& shapes, const Thorax& thorax);

/// Wedge opacity and bystander opacity, where the patient has them.
void add_opacities(Shapes& shapes, const Thorax& thorax);

/// One piece of the pulmonary arteries.
struct Artery {
  Point a, b;
  float ra = 0, rb = 0;
  enum class Place : uint8_t { main, right_main, left_main, right_lobar, left_lobar, peripheral };
  Place place = Place::peripheral;
};

/// Pulmonary veins and arteries; returns the arteries' pieces for placing clots.
std::vector<Artery> add_pulmonary_vessels(Shapes& shapes, const Thorax& thorax);

/// Clots in the arteries of a patient with PE: always a large one in a main or lobar artery.
void add_clots(Shapes& shapes, const std::vector<Artery>& arteries, const Patient& patient);

}  // namespace x2ctpa::phantom
