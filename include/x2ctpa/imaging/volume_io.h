// Reading and writing volumes: DICOM series, NIfTI, NRRD, MetaImage.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Which statement of a NIfTI header about its orientation holds where its qform and its sform put
/// voxels in different places: by a rule that refuses what is dangerous, or always the one.
enum class NiftiForm { automatic, qform, sform };
constexpr auto words(NiftiForm) { return std::array{"auto", "qform", "sform"}; }

/// What is doubtful about the header of a volume file: "unit-spacing", "forms-differ",
/// "forms-contradict", "orientation-assumed" and, where nothing is refused, "no-orientation".
struct VolumeDoubts {
  std::vector<std::string> codes;
  std::vector<std::string> notes;  ///< a sentence for each
};

/// Reads a volume file (core/file_kinds.h) or a folder that holds a DICOM CT series
/// (see dicom_series.h for how the series is chosen and checked).
/// Returned as stored; call oriented_to_lps for the canonical axes. What is doubtful goes to
/// `doubts`, or is logged where that is null.
/// Throws Error naming the path when it is unreadable, not 3D, or of unknown geometry: no spacing,
/// a spacing of zero (NIfTI's pixdim), neither qform nor sform, both of them with other directions
/// of the patient, or axes further from right angles than rounding explains.
Volume read_volume(const std::filesystem::path& path, NiftiForm form = NiftiForm::automatic,
                   VolumeDoubts* doubts = nullptr);

/// Writes NIfTI-1 (.nii or .nii.gz) in HU atomically, int16 (rounded, saturated) or float32, with
/// qform and sform in millimetres. `description` (at most 79 characters) says what it is;
/// generated volumes begin it with "SYNTHETIC".
void write_nifti(const Volume& volume, const std::filesystem::path& file,
                 const std::string& description, bool as_int16 = true);

/// Header, values and doubts of a volume file, also of one that read_volume would refuse for its
/// orientation; for `info`.
struct VolumeSummary {
  std::array<int64_t, 3> size_dhw;
  Vec3 spacing_mm, origin_mm;
  Mat3 direction;
  double hu_min, hu_max, hu_mean;
  std::string description;
  VolumeDoubts doubts;
  Volume volume;
};
VolumeSummary summarise_volume(const std::filesystem::path& file);

}  // namespace x2ctpa
