// Whether a volume file holds as many bytes as its header says, and a place that is one: ITK's
// NIfTI and MetaImage readers return whatever was in memory for what is missing.
#pragma once

#include <filesystem>

#include "imaging/files/image_file.h"

namespace x2ctpa {

/// Throws Error for what is no NIfTI file, for one that is truncated, and when its pixdim, or a
/// form that it says to use, holds what is no number of millimetres: ITK ends the program on some
/// of these, and takes as much memory as an extension says.
void require_sane_nifti(const std::filesystem::path& file);

/// Throws Error, with the bytes expected and found, for a truncated MetaImage, and for an NRRD file
/// that cannot hold what its header says. ITK's NRRD reader looks closer itself. Voxels may lie in
/// a file of their own, not in several.
void require_whole_volume(const std::filesystem::path& file, const ImageHeader& header);

}  // namespace x2ctpa
