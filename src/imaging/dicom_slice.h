// The header of one CT slice and its pixels in HU.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "x2ctpa/imaging/dicom_series.h"

namespace x2ctpa {

struct SliceHeader {
  std::filesystem::path file;
  std::string series_uid, modality, transfer_syntax;
  int64_t rows = 0, columns = 0, frames = 1;
  int64_t instance = 0, acquisition = 0;
  bool localizer = false;
  bool truncated = false;     ///< fewer bytes than its uncompressed pixels need
  bool has_geometry = false;  ///< the four below are known and sane
  Vec3 position{}, row{}, column{};
  std::array<double, 2> spacing_xy{0, 0};
};

enum class FileKind { not_dicom, broken, image };

/// Parses the header of `file` up to its pixels; fills `header` for an image.
FileKind parse_slice_header(const std::filesystem::path& file, SliceHeader& header);

/// HU (H, W); `padding_to_air`: what the header calls padding, and all at or below -1024, to -1024.
torch::Tensor read_slice_hu(const std::filesystem::path& file, bool padding_to_air);

/// Orders and judges the slices of one series.
DicomSeries assess_series(std::vector<SliceHeader> slices, const SeriesLimits& limits = {});

}  // namespace x2ctpa
