// What several samples of one X-ray say about each other: their mean and spread, how well each
// fits the X-ray, and how a PE classifier judges them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/pe_classifier.h"

namespace x2ctpa {

/// Per voxel over N >= 2 volumes of one grid, read one after the other.
struct Spread {
  Volume mean;  ///< HU
  Volume std;   ///< HU; the divisor is N - 1
};

/// Throws Error naming the file whose grid differs.
Spread spread_of(const std::vector<std::filesystem::path>& volumes);

/// How well a volume explains its X-ray: the correlation, from -1 to 1, between the X-ray and the
/// volume's own projection (DRR) in the geometry of `info`, both without their slow variation (a
/// Gaussian of a sixteenth of the side subtracted), over the pixels whose rays cross the volume.
/// What was clipped at the lower end of the HU window is taken as lung (ClippedAir::ramp). The
/// beam's centre is the volume's, as for the model. `cxr`: (V, S, S) in [0, 1]; of two views the
/// mean of those that are there.
double projection_similarity(const Volume& volume, const at::Tensor& cxr, const DatasetInfo& info);

/// A classifier of volumes, as `classify train --arm ctpa` or `generated` leaves it.
class PeScorer {
 public:
  /// Throws Error when `model` is no classifier of volumes.
  PeScorer(const std::filesystem::path& model, const RuntimeOptions& runtime);

  /// The probability that it gives to PE.
  double score(const Volume& volume, const IntensityWindow& window);

 private:
  PeClassifier model_;
};

}  // namespace x2ctpa
