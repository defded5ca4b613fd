// How a picture lies in its file: EXIF's orientation, which viewers follow without a word.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

namespace x2ctpa {

/// EXIF's orientation, 1 (upright) to 8, of a picture of the format "PNG", "JPEG" or "TIFF"; 1
/// where the file says nothing that can be read.
int picture_orientation(const std::filesystem::path& file, const std::string& format);

/// Samples (H, W, C) as stored under `orientation`, turned upright.
at::Tensor turned_upright(const at::Tensor& samples, int orientation);

/// Writes a copy of a TIFF that says it is upright, since readers follow the orientation in part.
/// False where its place in the file is not found; then nothing is written.
bool write_as_upright_tiff(const std::filesystem::path& file, const std::filesystem::path& copy);

}  // namespace x2ctpa
