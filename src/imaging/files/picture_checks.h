// Looking for damage in picture files before their decoders see them: libpng as ITK calls it leaves
// pixels unset or ends the process, libjpeg fills the rest of a truncated picture with grey.
#pragma once

#include <filesystem>

namespace x2ctpa {

/// Throws Error for a PNG whose chunks, header, compressed data or row filters are not sound.
void require_whole_png(const std::filesystem::path& file);

/// Throws Error for a JPEG without a frame, a scan or an end.
void require_whole_jpeg(const std::filesystem::path& file);

/// Throws Error for a TIFF whose first page cannot be parsed or lies beyond the end of the file.
void require_whole_tiff(const std::filesystem::path& file);

/// Throws Error when a picture of `bytes` cannot have come out of the file: no compression of these
/// formats shrinks by more than 1032 to 1 (Deflate's limit).
void require_possible_size(const std::filesystem::path& file, double bytes);

}  // namespace x2ctpa
