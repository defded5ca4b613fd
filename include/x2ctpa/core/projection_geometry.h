// The cone beam that X-rays are taken with: rendered ones, those of a dataset, and the one along
// which models spread X-ray features over a volume.
#pragma once

#include "x2ctpa/core/options.h"

namespace x2ctpa {

/// An X-ray of unknown geometry (a real one) is taken to fill the detector.
struct ProjectionGeometry {
  double source_to_detector_mm = 1800;
  double source_to_centre_mm = 1600;  ///< source to the centre of the volume
  double detector_mm = 430;           ///< side of the square detector

  void describe(OptionList& options);
  bool operator==(const ProjectionGeometry&) const = default;

  /// The same beam across the patient: the body is wider than deep, so that the detector stands
  /// farther from its centre.
  ProjectionGeometry lateral(double lateral_source_to_centre_mm) const {
    return {source_to_detector_mm, lateral_source_to_centre_mm, detector_mm};
  }
};

/// Of lateral X-rays: half a wide patient lies between the centre and the detector.
constexpr double usual_lateral_source_to_centre_mm = 1550;

}  // namespace x2ctpa
