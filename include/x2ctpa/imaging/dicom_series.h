// CT series in DICOM folders: found, judged and read into volumes with their true geometry.
//
// Slices are ordered by their position along the slice normal, never by name or instance number.
// What is wrong with a series is told in codes:
//   unreadable-file     a file is truncated or not decodable; its slice counts as missing
//   duplicate-position  slices at one position; one is kept
//   mixed-size          slices of another matrix or pixel size than most; dropped
//   localizer           scout images among the slices; dropped
//   gap                 missing slices; filled by linear interpolation between true positions
//   uneven-spacing      slice distances vary by more than 1 %; resampled to an even grid
//   tilt                gantry tilt; resampled along the true axes
//   no-geometry         position, orientation or pixel spacing missing; such slices are dropped
//   wrong-modality      not a CT
// A series that cannot be read as a volume says why in `reason`.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/imaging/volume.h"

namespace x2ctpa {

/// Past these a series is refused instead of resampled.
struct SeriesLimits {
  int64_t missing_slices = 3;   ///< in one gap
  double missing_mm = 15;       ///< length that one gap leaves without slices
  double tilt_degrees = 30;
};

struct DicomSeries {
  std::string uid;
  std::string modality;         ///< "CT", "MR", ...
  std::string transfer_syntax;  ///< UID of the first slice
  std::vector<std::filesystem::path> files;  ///< the slices used, along the slice normal
  std::vector<Vec3> slice_origins_mm;        ///< LPS position of the first pixel of each
  std::array<int64_t, 2> slice_size_hw{0, 0};

  /// The grid of the volume that read_dicom_series returns; same conventions as Volume.
  std::array<int64_t, 3> size_dhw{0, 0, 0};
  Vec3 origin_mm{0, 0, 0}, spacing_mm{0, 0, 0};
  Mat3 direction{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};

  bool resampled = false;             ///< slices are interpolated onto the grid, not just stacked
  std::vector<std::string> problems;  ///< codes, each once
  std::vector<std::string> notes;     ///< a sentence for each problem found
  std::string reason;                 ///< why it cannot be read; empty when it can

  bool readable() const { return reason.empty(); }
  /// True when the slice normal is nearer to the patient's long axis than 37 degrees.
  bool axial() const;
  bool has_problem(const std::string& code) const;
  void add_problem(const std::string& code, const std::string& note);
};

/// Every series below `folder`, whatever the files are called; headers are parsed in parallel, pixels
/// are not read. Files that are not DICOM are passed over. Files too broken to tell their series come
/// as one series with an empty uid and the code unreadable-file.
/// Throws Error when the folder cannot be listed.
std::vector<DicomSeries> scan_dicom_folder(const std::filesystem::path& folder);

/// The readable axial CT series with the most slices (then the finer spacing, then the smaller uid);
/// the choice is logged when there was one. Throws Error that lists every series and why it does not
/// fit, with ExitCode::no_data.
DicomSeries choose_ct_series(const std::vector<DicomSeries>& series, const std::filesystem::path& folder);

/// Decodes the slices in parallel and stacks them: rescale slope and intercept per slice, padding and
/// everything at or below -1024 HU to -1024. Problems are logged as warnings. A slice that cannot be
/// decoded counts as missing and is added to `series.problems`.
/// Throws Error when the series is not readable.
Volume read_dicom_series(DicomSeries& series);

/// One CT slice (H, W) in HU as stored, without any treatment of padding. Throws Error.
torch::Tensor read_dicom_slice(const std::filesystem::path& file);

}  // namespace x2ctpa
