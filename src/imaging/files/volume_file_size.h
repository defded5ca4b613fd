// Whether a volume file holds as many bytes as its header says, and a place that is one: ITK's
// NIfTI and MetaImage readers return whatever was in memory for what is missing.
#pragma once

#include <filesystem>

#include "imaging/files/image_file.h"

namespace x2ctpa {

/// Throws Error, with the bytes expected and found, for a truncated file. ITK's NRRD reader looks
/// itself.
void require_whole_volume(const std::filesystem::path& file, const ImageHeader& header);

/// Throws Error when a NIfTI header's pixdim, or a form that it says to use, holds what is no
/// number of millimetres: ITK ends the program on some of these. Other files pass.
void require_sane_nifti_geometry(const std::filesystem::path& file);

}  // namespace x2ctpa
