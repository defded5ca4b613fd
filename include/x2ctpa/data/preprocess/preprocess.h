// From studies as they come to a dataset folder: one grid, one window, one X-ray size.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/core/shard.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {

/// What the grid is laid around.
enum class BoxRule { lungs, body, mask, none };
constexpr auto words(BoxRule) { return std::array{"lungs", "body", "mask", "none"}; }

enum class WindowPreset { custom, ctpa, wide, lung, lidc };
constexpr auto words(WindowPreset) { return std::array{"custom", "ctpa", "wide", "lung", "lidc"}; }

/// The studies whose X-ray is rendered from their CT: none, those without an X-ray, or all.
enum class CxrFromCt { none, missing, all };
constexpr auto words(CxrFromCt) { return std::array{"none", "missing", "all"}; }

enum class GridInterpolation { linear, cubic, published };
constexpr auto words(GridInterpolation) { return std::array{"linear", "cubic", "published"}; }

/// Section `preprocess`. The defaults are the published settings.
struct PreprocessOptions {
  std::vector<int64_t> grid = {128, 256, 256};
  Modality modality = Modality::ct;
  NiftiForm nifti_form = NiftiForm::automatic;
  BoxRule box = BoxRule::lungs;
  double margin_mm = 0;
  std::vector<double> field_of_view_mm;
  GridInterpolation interpolation = GridInterpolation::linear;
  Intensity intensity = Intensity::window;
  WindowPreset window_preset = WindowPreset::custom;
  IntensityWindow window;
  std::vector<double> percentiles = {0.5, 99.5};
  PictureSource source = PictureSource::cxr;
  int64_t cxr_size = 224;
  CxrOptions cxr;
  CxrFromCt cxr_from_ct = CxrFromCt::none;
  DrrRendering drr;
  ProjectionGeometry geometry;
  double lateral_source_to_centre_mm = usual_lateral_source_to_centre_mm;
  std::vector<double> splits = {0.7, 0.1, 0.2};
  int64_t folds = 0;
  std::string splits_file;
  int64_t workers = 0;
  InputOptions input;  ///< of read_inputs; its series rule also serves folders that a manifest
                       ///< names, its views are those of the dataset

  void describe(OptionList& options);
};

/// How a call goes about its work; nothing of it changes a case.
struct PreprocessCall {
  bool force = false;    ///< make every case anew, also with other options than before
  bool resplit = false;  ///< accept other splits, folds or seed than before; cases are kept
  Shard shard;           ///< the share of the studies that this process takes
};

struct PreprocessResult {
  DatasetInfo info;
  int64_t cases = 0;     ///< in the dataset; of a share whose set is not complete yet, in the share
  int64_t kept = 0;      ///< of this call's share, done by an earlier call
  int64_t rejected = 0;  ///< listed in rejected.csv
  bool complete = true;  ///< false: other processes have studies to do; the last writes the index
};

/// Writes the dataset folder `out` (see dataset.h) and, beside what training reads,
/// `preprocess.yaml` (the options), `records/<id>.json` (source, spacing, lungs and warnings of
/// each case) and `rejections/<id>.json`.
///
/// Studies are processed in parallel. A study that cannot be used is listed in rejected.csv and the
/// others go on. A call that was stopped, by whatever means, goes on where it was: a case counts as
/// done when it has a record of the same sources and options and its files have the recorded sizes.
///
/// Several processes may work in one folder when each is given its share of the same studies. Each
/// leaves records; whoever finds every study done writes the index, which is the last of them, or a
/// later call for the whole.
///
/// Throws Error when `out` holds a dataset made with other options (naming each difference), unless
/// forced, or when another process works in it that did not get a share; Error(no_data) when no
/// study is usable, and Error(interrupted) after a signal.
PreprocessResult preprocess(const std::vector<Study>& studies, const PreprocessOptions& options,
                            int64_t seed, const std::filesystem::path& out,
                            const PreprocessCall& call = {});

}  // namespace x2ctpa
