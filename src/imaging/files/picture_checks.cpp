#include "imaging/files/picture_checks.h"

#include <fmt/format.h>
#include <tiffio.h>

#include <memory>
#include <string>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, const char* format, const std::string& what) {
  throw Error(fmt::format("{}: damaged {} file: {}. Copy it again from its source.", file.string(),
                          format, what));
}

uint32_t big_endian(const std::string& bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The start of the main picture's first scan in a JPEG; 0: none.
size_t jpeg_scan(const std::string& bytes) {
  bool frame = false;
  size_t at = 2;
  while (at + 4 <= bytes.size()) {
    if (static_cast<unsigned char>(bytes[at]) != 0xFF) return 0;
    const auto marker = static_cast<unsigned char>(bytes[at + 1]);
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    frame = frame || (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
                      marker != 0xCC);
    if (marker == 0xDA) return frame ? at : 0;
    if (marker == 0xD9) return 0;
    at += 2 + big_endian(bytes, at + 2, 2);
  }
  return 0;
}

}  // namespace

void require_whole_jpeg(const fs::path& file) {
  const std::string bytes = read_file(file);
  size_t at = jpeg_scan(bytes);
  if (at == 0) refuse(file, "JPEG", "it has no frame and scan");
  // In a scan, FF is followed by 0, by a restart marker, or by what ends the scan.
  for (; at + 2 <= bytes.size(); ++at)
    if (static_cast<unsigned char>(bytes[at]) == 0xFF &&
        static_cast<unsigned char>(bytes[at + 1]) == 0xD9)
      return;
  refuse(file, "JPEG", fmt::format("it ends after {} bytes within the picture", bytes.size()));
}

void require_whole_tiff(const fs::path& file) {
  TIFF* tiff = TIFFOpen(file.c_str(), "rm");
  if (!tiff) refuse(file, "TIFF", "its directory cannot be read");
  const std::unique_ptr<TIFF, void (*)(TIFF*)> closing(tiff, TIFFClose);
  uint32_t width = 0, height = 0;
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) ||
      !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height))
    refuse(file, "TIFF", "it has no size");
  require_possible_sides(file, width, height);
  const uint32_t pieces = TIFFIsTiled(tiff) ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  const uint64_t size = fs::file_size(file);
  if (pieces == 0 || pieces > size) refuse(file, "TIFF", "it has no picture");
  for (uint32_t i = 0; i < pieces; ++i) {
    const uint64_t offset = TIFFGetStrileOffset(tiff, i), count = TIFFGetStrileByteCount(tiff, i);
    if (offset == 0 || count == 0 || offset > size || count > size - offset)
      refuse(file, "TIFF",
             fmt::format("part {} of {} of the picture lies beyond its end", i + 1, pieces));
  }
}

void require_possible_sides(const fs::path& file, int64_t width, int64_t height) {
  if (width <= largest_picture_side && height <= largest_picture_side) return;
  throw Error(fmt::format(
      "{}: a picture of {} x {} pixels, or a damaged one; expected sides of at most {}.",
      file.string(), width, height, largest_picture_side));
}

void require_possible_size(const fs::path& file, double bytes) {
  constexpr double most_shrinking = 1032;
  const auto size = double(fs::file_size(file));
  if (bytes > most_shrinking * (size + 1024))
    throw Error(fmt::format(
        "{}: damaged file: its header says {:.0f} bytes of pixels, which its {:.0f} bytes "
        "cannot hold.",
        file.string(), bytes, size));
}

}  // namespace x2ctpa
