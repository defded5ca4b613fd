// What the anatomy of a chest scan tells about its axes and its contrast.
#pragma once

#include <optional>

#include "x2ctpa/imaging/volume/lungs.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Where a chest scan lies in its own numbers; each is clearly negative when the axis is turned.
struct AnatomyDirections {
  double left = 0;   ///< heart to the patient's left and right lung larger
  double head = 0;   ///< apices narrower than bases
  double front = 0;  ///< spine behind
};
AnatomyDirections anatomy_directions(const Volume& scan, const Lungs& lungs);

/// See CtFacts::contrast_hu.
std::optional<double> trunk_contrast_hu(const Volume& scan, const Lungs& lungs);

}  // namespace x2ctpa
