// Looking for damage in picture files before their decoders see them: libjpeg fills the rest of a
// truncated picture with grey, libtiff as ITK calls it leaves pixels unset. TIFF stays with ITK's
// reader: tiles, planes, palettes, sample types and a dozen compressions would be ours to put
// together on libtiff, and no data set of X-rays comes as TIFF.
#pragma once

#include <cstdint>
#include <filesystem>

namespace x2ctpa {

/// Of pictures and X-rays; larger ones are damaged files, or no X-rays.
constexpr int64_t largest_picture_side = 16384;

/// Throws Error for a JPEG without a frame, a scan or an end.
void require_whole_jpeg(const std::filesystem::path& file);

/// Throws Error for a TIFF whose first page cannot be parsed or lies beyond the end of the file.
void require_whole_tiff(const std::filesystem::path& file);

/// Throws Error for sides that no X-ray has, before a decoder takes memory for them.
void require_possible_sides(const std::filesystem::path& file, int64_t width, int64_t height);

/// Throws Error when pixels of `bytes` cannot have come out of the file: no compression of these
/// formats shrinks by more than 1032 to 1 (Deflate's limit), but for pictures of a few kilobytes.
void require_possible_size(const std::filesystem::path& file, double bytes);

}  // namespace x2ctpa
