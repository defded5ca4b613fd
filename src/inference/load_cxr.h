// Reading an X-ray for the generator, and where its volume goes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/volume/resample.h"
#include "x2ctpa/imaging/xray/radiograph.h"
#include "x2ctpa/inference/sample_items.h"
#include "x2ctpa/models/cxr_novelty.h"

namespace x2ctpa {

struct LoadedCxr {
  at::Tensor pictures;                     ///< (V, S, S), as the model takes them
  std::filesystem::path cxr, cxr_lateral;  ///< the files, in their places; empty: not there
  std::string sha256, lateral_sha256;      ///< of these
  Grid place;                              ///< of the volume
  std::string placed_by;
  std::optional<Novelty> novelty;
  std::vector<std::string> warnings;  ///< doubts, each a sentence
};

/// Reads the X-ray as preprocess does and finds the place of its volume: a case's own grid in a
/// dataset; around the lungs of a reference CT, else around its middle; else around the origin. The
/// last two with the typical field of view of the training set. Throws Error naming the file.
LoadedCxr load_cxr(const CxrItem& item, const DatasetInfo& info, CxrViews views,
                   const CxrOptions& options);

}  // namespace x2ctpa
