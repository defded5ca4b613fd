// Reading and writing volumes: DICOM series, NIfTI, NRRD, MetaImage.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Reads a volume file (core/file_kinds.h) or a folder that holds a DICOM CT series
/// (see dicom_series.h for how the series is chosen and checked).
/// Returned as stored; call oriented_to_lps for the canonical axes.
/// Throws Error naming the path when it is unreadable, not 3D, or of unknown geometry: no spacing,
/// a spacing of zero (NIfTI's pixdim), or axes further from right angles than rounding explains.
Volume read_volume(const std::filesystem::path& path);

/// True for voxels of exactly 1 x 1 x 1 mm that make a scan of impossible size: a side below 100 mm
/// or above 1000 mm. Most likely the spacing was lost in a conversion. read_volume warns of it.
bool has_doubtful_unit_spacing(const Volume& volume);

/// Writes NIfTI-1 (.nii or .nii.gz) in HU atomically, int16 (rounded, saturated) or float32, with
/// qform and sform in millimetres. `description` (at most 79 characters) says what it is;
/// generated volumes begin it with "SYNTHETIC".
void write_nifti(const Volume& volume, const std::filesystem::path& file,
                 const std::string& description, bool as_int16 = true);

/// Header and value range of a volume file without keeping the voxels; for `info`.
struct VolumeSummary {
  std::array<int64_t, 3> size_dhw;
  Vec3 spacing_mm, origin_mm;
  Mat3 direction;
  double hu_min, hu_max, hu_mean;
  std::string description;
};
VolumeSummary summarise_volume(const std::filesystem::path& file);

}  // namespace x2ctpa
