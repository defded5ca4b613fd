// From studies as they come to a dataset folder: one grid, one window, one X-ray size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/manifest.h"
#include "x2ctpa/imaging/drr.h"
#include "x2ctpa/imaging/radiograph.h"

namespace x2ctpa {

/// Section `preprocess`. The defaults are the published settings.
struct PreprocessOptions {
  std::vector<int64_t> grid = {128, 256, 256};
  std::string box = "lungs";
  double margin_mm = 0;
  std::vector<double> field_of_view_mm;
  std::string interpolation = "linear";
  std::string window_preset = "custom";
  IntensityWindow window;
  int64_t cxr_size = 224;
  CxrOptions cxr;
  std::string cxr_from_ct = "none";
  DrrRendering drr;
  ProjectionGeometry geometry;
  std::vector<double> splits = {0.7, 0.1, 0.2};
  int64_t workers = 0;
  InputOptions
      input;  ///< of read_inputs; its series rule also serves folders that a manifest names

  void describe(OptionList& options);
};

struct PreprocessResult {
  DatasetInfo info;
  int64_t cases = 0;     ///< in the dataset
  int64_t kept = 0;      ///< of these, done by an earlier call
  int64_t rejected = 0;  ///< listed in rejected.csv
};

/// Writes the dataset folder `out` (see dataset.h) and, beside what training reads,
/// `preprocess.yaml` (the options) and `records/<id>.json` (source, spacing, lungs and warnings of
/// each case).
///
/// Studies are processed in parallel. A study that cannot be used is listed in rejected.csv and the
/// others go on. A call that was stopped goes on where it was: cases with a record are kept.
/// Throws Error when `out` holds a dataset made with other options (naming each difference) unless
/// `force`, which makes every case anew; Error(no_data) when no study is usable, and
/// Error(interrupted) after a signal.
PreprocessResult preprocess(const std::vector<Study>& studies, const PreprocessOptions& options,
                            int64_t seed, const std::filesystem::path& out, bool force = false);

}  // namespace x2ctpa
