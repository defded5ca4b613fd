#include "x2ctpa/core/projection_geometry.h"

namespace x2ctpa {

void ProjectionGeometry::describe(OptionList& options) {
  options.add("source_to_detector_mm", &source_to_detector_mm, "X-ray source to detector in mm.",
              {.min = 1});
  options.add("source_to_centre_mm", &source_to_centre_mm,
              "X-ray source to the centre of the volume in mm.", {.min = 1});
  options.add("detector_mm", &detector_mm, "Side of the square detector in mm.", {.min = 1});
}

}  // namespace x2ctpa
