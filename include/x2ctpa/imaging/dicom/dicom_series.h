// CT series in DICOM files: found, judged and read into volumes with their true geometry.
//
// Slices are ordered by their position along the slice normal, never by name or instance number.
// Classic series (a file per slice) and enhanced multi-frame CT (PS3.3 A.38) are read alike.
// What is wrong with a series is told in codes:
//   unreadable-file     a file is truncated or not decodable; its slices count as missing
//   duplicate-position  slices at one position; one is kept
//   mixed-size          slices of another matrix or pixel size than most; dropped
//   localizer           scout images among the slices; dropped
//   secondary-capture   pictures of a screen among the slices; dropped
//   gap                 missing slices; filled by linear interpolation between true positions
//   uneven-spacing      slice distances vary by more than 1 %; resampled to an even grid
//   tilt                gantry tilt; resampled along the true axes
//   no-geometry         position, orientation or pixel spacing missing; such slices are dropped
//   multi-frame         many frames in a file that does not say where each lies; dropped
//   too-few-slices      fewer than 3 slices at different places
//   no-rescale          no rescale intercept; values are taken as HU
//   wrong-modality      not a CT
// A series that cannot be read as a volume says why in `reason`.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Past these a series is refused instead of resampled. Section `preprocess.series`.
struct SeriesLimits {
  int64_t missing_slices = 3;
  double missing_mm = 15;
  double tilt_degrees = 30;

  void describe(OptionList& options);
};

/// What headers say about a series beside geometry. Some of it identifies the patient: it serves to
/// group and to choose, and never goes into outputs.
struct SeriesTags {
  std::string patient_id, patient_name, study_uid, accession;
  std::string description, protocol, image_type, kernel, contrast;
  std::string view_position;  ///< of X-rays: "PA", "AP", "LL", ...
  std::optional<double>
      time_s;  ///< acquisition, else series, else study; since 1970, scanner's clock
};

struct DicomSeries {
  std::string uid;
  std::string modality;         ///< "CT", "MR", ...
  std::string transfer_syntax;  ///< UID of the first slice
  std::shared_ptr<const SeriesTags> tags = std::make_shared<const SeriesTags>();
  std::vector<std::filesystem::path> files;     ///< of each slice used, along the slice normal
  std::vector<int64_t> frames;                  ///< 0-based frame of each slice in its file
  std::vector<Vec3> slice_origins_mm;           ///< LPS position of the first pixel of each
  std::vector<std::filesystem::path> left_out;  ///< files of the series that give no slice
  std::array<int64_t, 2> slice_size_hw{0, 0};

  /// The grid of the volume that read_dicom_series returns; same conventions as Volume.
  std::array<int64_t, 3> size_dhw{0, 0, 0};
  Vec3 origin_mm{0, 0, 0}, spacing_mm{0, 0, 0};
  Mat3 direction{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};

  bool resampled = false;             ///< slices are interpolated onto the grid, not just stacked
  SeriesLimits limits;                ///< that it was judged by
  std::vector<std::string> problems;  ///< codes, each once
  std::vector<std::string> notes;     ///< a sentence for each problem found
  std::string reason;                 ///< why it cannot be read; empty when it can
  std::string reason_code;            ///< the problem behind `reason`

  bool readable() const { return reason.empty(); }
  /// True when the slice normal is nearer to the patient's long axis than 37 degrees.
  bool axial() const;
  bool has_problem(const std::string& code) const;
  void add_problem(const std::string& code, const std::string& note);
  /// The same, and the series cannot be read; the first reason stays.
  void refuse(const std::string& code, const std::string& why);
};

/// Thrown for series that cannot be read; `reason_code` is one of the codes above, or
/// "no-ct-series".
class SeriesError : public Error {
 public:
  SeriesError(std::string reason_code, const std::string& message, ExitCode code = ExitCode::usage)
      : Error(message, code), reason_code_(std::move(reason_code)) {}
  const std::string& reason_code() const { return reason_code_; }

 private:
  std::string reason_code_;
};

/// Every series among `files`, whatever they are called; headers are parsed in parallel, pixels are
/// not read. Files that are not DICOM are passed over. Files too broken to tell their series come
/// as one series with an empty uid and the code unreadable-file.
std::vector<DicomSeries> scan_dicom_files(const std::vector<std::filesystem::path>& files,
                                          const SeriesLimits& limits = {});

/// The same for every file below `folder`. Links to folders are not followed.
/// Throws Error when the folder cannot be listed.
std::vector<DicomSeries> scan_dicom_folder(const std::filesystem::path& folder,
                                           const SeriesLimits& limits = {});

/// Decodes the slices in parallel and stacks them: rescale slope and intercept per slice, padding
/// and everything at or below -1024 HU to -1024. Problems are logged as warnings. A slice that
/// cannot be decoded counts as missing and is added to `series.problems`. Throws SeriesError when
/// the series is not readable.
Volume read_dicom_series(DicomSeries& series);

/// One CT slice (H, W) in HU as stored, without any treatment of padding; the first frame of many.
/// Throws Error.
at::Tensor read_dicom_slice(const std::filesystem::path& file);

/// What the header of one image file says. Throws Error when it is no readable DICOM image.
SeriesTags read_dicom_tags(const std::filesystem::path& file);

/// The view that a View Position (0018,5101) names; nothing for other words.
std::optional<CxrView> view_of_position(const std::string& position);

}  // namespace x2ctpa
