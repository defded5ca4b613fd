// The dataset folder that `preprocess` writes and every training command reads.
//
//   dataset.json   what the set is: DatasetInfo and its hash
//   index.csv      id,patient_id,split,pe,ct,cxr[,cxr_lateral][,fold][,...]   (paths relative to
//                  the folder); further columns are those of subgroups
//   ct/<id>.nii    the volume on the dataset grid, in its true place; int16 HU for CT
//   cxr/<id>.png   16-bit square X-ray; cxr/<id>_lateral.png the lateral one
//   splits.csv     id,patient_id,split,fold
//   rejected.csv   source,reason_code,reason
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/core/projection_geometry.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// The window that maps a volume's values, in HU for CT, linearly to the models' [-1, 1], clipped
/// at both ends.
struct IntensityWindow {
  double min_hu = -200;
  double max_hu = 500;

  at::Tensor to_unit(const at::Tensor& hu) const;  ///< HU -> [-1, 1]
  at::Tensor to_hu(const at::Tensor& unit) const;  ///< [-1, 1] -> HU
  void describe(OptionList& options);
  bool operator==(const IntensityWindow&) const = default;
};

/// What the volumes are: CT in HU, MR, or another modality's values as they are stored.
enum class Modality { ct, mr, other };
constexpr auto words(Modality) { return std::array{"CT", "MR", "other"}; }

/// How the window comes about: given, from each volume's percentiles, or from those of the
/// training volumes.
enum class Intensity { window, volume_percentiles, set_percentiles };
constexpr auto words(Intensity) {
  return std::array{"window", "volume-percentiles", "set-percentiles"};
}

/// What the 2D pictures are: chest X-rays, or any picture.
enum class PictureSource { cxr, picture };
constexpr auto words(PictureSource) { return std::array{"cxr", "picture"}; }

/// What models must know about the data; a copy travels in every model folder.
struct DatasetInfo {
  std::array<int64_t, 3> grid_dhw{0, 0, 0};
  Vec3 typical_spacing_mm{1, 1, 1};  ///< x, y, z: median over the training cases
  IntensityWindow window;
  Modality modality = Modality::ct;  ///< of the volumes
  Intensity intensity = Intensity::window;
  std::string unit = "HU";  ///< of the volumes' values and of the window
  PictureSource source = PictureSource::cxr;
  int64_t cxr_size = 0;   ///< side of the square X-rays in pixels
  double cxr_mean = 0.5;  ///< over the training X-rays, in [0, 1]
  double cxr_std = 0.25;
  ProjectionGeometry geometry;             ///< that relates the X-rays to the volumes
  double lateral_mean = 0;                 ///< over the lateral training X-rays, in [0, 1]
  double lateral_std = 0;                  ///< the same; 0: there are none
  double lateral_source_to_centre_mm = 0;  ///< in `geometry`'s place; 0: there are none
  std::string hash;                        ///< SHA-256 over index.csv and the fields above

  /// Spacing x, y, z of a grid of `size_dhw` that spans a typical volume, such as the latents'.
  Vec3 typical_spacing_at_mm(const std::vector<int64_t>& size_dhw) const;

  CxrViews views() const { return lateral_std > 0 ? CxrViews::both : CxrViews::frontal; }

  void describe(OptionList& options);  ///< the fields as YAML in a model folder
};

struct Case {
  std::string id, patient_id;
  std::string split;              ///< "train", "val" or "test"
  std::optional<int> pe;          ///< 0, 1, or unknown
  std::string ct, cxr;            ///< relative to the dataset folder; either may be empty
  std::optional<int64_t> fold{};  ///< of the cross-validation; none for the hold-out
  std::string cxr_lateral{};      ///< as `cxr`
  std::map<std::string, std::string> groups{};  ///< by column: what subgroups are made of

  /// Whether it has the views of a set.
  bool has(ViewSet set) const {
    return (set == ViewSet::lateral || !cxr.empty()) &&
           (set == ViewSet::frontal || !cxr_lateral.empty());
  }
  /// Whether it has an X-ray that a model of these views takes.
  bool has_xray(CxrViews views) const {
    return !cxr.empty() || (views == CxrViews::both && !cxr_lateral.empty());
  }
};

/// The fold in a cell of a table: a number from 0, or none where the cell is empty. Throws Error,
/// which begins with `where`, for anything else.
std::optional<int64_t> parse_fold(const std::string& text, const std::string& where);

/// Throws Error naming the patient when cases of one patient lie in different splits or folds.
void check_no_leakage(const std::vector<Case>& cases);

/// An opened dataset folder.
class Dataset {
 public:
  /// Throws Error when the folder, dataset.json or index.csv is missing or does not fit its hash.
  static Dataset open(const std::filesystem::path& folder);

  const std::filesystem::path& folder() const { return folder_; }
  const DatasetInfo& info() const { return info_; }
  const std::vector<Case>& cases() const { return cases_; }
  /// The cases of one split in index order; "all" for every case.
  std::vector<Case> split(const std::string& name) const;

  /// Folds of the cross-validation; 0: the set has none.
  int64_t folds() const;
  /// The same set with the splits of one fold: its cases are "val", those of the other folds
  /// "train", the hold-out stays "test". Throws Error when there is no such fold.
  Dataset with_fold(int64_t fold) const;

  /// (1, D, H, W) float32 in [-1, 1]. Throws Error naming the case when its file is missing,
  /// unreadable or of another grid.
  at::Tensor load_ct(const Case& c) const;
  /// The volume in HU with its geometry.
  Volume load_volume(const Case& c) const;
  /// The frontal X-ray, (1, S, S) float32 in [0, 1].
  at::Tensor load_cxr(const Case& c) const;
  /// Its X-rays (V, S, S) as core/cxr_view.h has them. Throws Error for a case without any.
  at::Tensor load_views(const Case& c, CxrViews views) const;

 private:
  at::Tensor load_picture(const Case& c, const std::string& name) const;

  std::filesystem::path folder_;
  DatasetInfo info_;
  std::vector<Case> cases_;
};

/// A volume file within `window`: (1, D, H, W) float32 in [-1, 1].
at::Tensor read_windowed(const std::filesystem::path& file, const IntensityWindow& window);

/// Writes dataset.json and index.csv (atomically, dataset.json last) and sets info.hash.
void write_dataset(const std::filesystem::path& folder, DatasetInfo& info,
                   const std::vector<Case>& cases);

}  // namespace x2ctpa
