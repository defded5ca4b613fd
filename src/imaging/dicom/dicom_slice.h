// The headers of CT slices and their pixels in HU.
#pragma once

#include <gdcmDataSet.h>
#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {

constexpr float air_hu = -1024;

double dot(const Vec3& a, const Vec3& b);

/// One slice: a file, or one frame of a multi-frame file.
struct SliceHeader {
  std::filesystem::path file;
  int64_t frame = 0;
  std::string series_uid, modality, transfer_syntax;
  std::shared_ptr<const SeriesTags> tags;
  int64_t rows = 0, columns = 0, frames = 1;
  int64_t instance = 0, acquisition = 0;
  bool localizer = false;
  bool secondary = false;     ///< a secondary capture
  bool truncated = false;     ///< no pixels, or fewer bytes than they need uncompressed
  bool has_geometry = false;  ///< the four below are known and sane
  bool has_rescale = true;
  Vec3 position{}, row{}, column{};
  std::array<double, 2> spacing_xy{0, 0};
};

enum class FileKind { not_dicom, broken, image };

/// Parses the header of `file` up to its pixels; `slices` gets one header per frame of an image.
FileKind parse_slice_headers(const std::filesystem::path& file, std::vector<SliceHeader>& slices);

/// True for an image in DICOM, and for a broken one, by content.
bool is_dicom_image(const std::filesystem::path& file);

/// Sets position, orientation and spacing from the macros of one data set; false when one is
/// missing or makes no sense.
bool set_geometry(const std::vector<double>& position, const std::vector<double>& cosines,
                  const std::vector<double>& spacing, SliceHeader& header);

/// One header per frame from the functional groups of PS3.3 C.7.6.16; `file_header` holds what all
/// frames share.
std::vector<SliceHeader> frame_headers(const gdcm::DataSet& data, const SliceHeader& file_header);

struct Rescale {
  double slope = 1, intercept = 0;
  bool known = false;  ///< the file gives an intercept
};

/// The rescale of each frame: its own, else the one that all share, else the file's.
std::vector<Rescale> rescales_of(const gdcm::DataSet& data, int64_t frames);

/// HU (n, H, W) of frames of one file; `padding_to_air`: what the header calls padding, and all at
/// or below -1024, to -1024. Throws Error.
at::Tensor read_frames_hu(const std::filesystem::path& file, const std::vector<int64_t>& frames,
                          bool padding_to_air);

/// Orders and judges the slices of one series.
DicomSeries assess_series(std::vector<SliceHeader> slices, const SeriesLimits& limits = {});

}  // namespace x2ctpa
