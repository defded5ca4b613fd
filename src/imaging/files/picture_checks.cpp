#include "imaging/files/picture_checks.h"

#include <tiffio.h>
#include <zlib.h>

#include "imaging/dicom/gdcm_dataset.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, const char* format, const std::string& what) {
  throw Error(fmt::format("{}: damaged {} file: {}. Copy it again from its source.", file.string(),
                          format, what));
}

// Before anything is unpacked: libpng ends the process on sides beyond its own limit.
void require_possible_sides(const fs::path& file, uint32_t width, uint32_t height) {
  if (width <= largest_picture_side && height <= largest_picture_side) return;
  throw Error(fmt::format(
      "{}: a picture of {} x {} pixels, or a damaged one; expected sides of at most {}.",
      file.string(), width, height, largest_picture_side));
}

uint32_t big_endian(const std::string& bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// What the IHDR chunk says.
struct PngHeader {
  uint32_t width = 0, height = 0;
  int depth = 0, colour = 0, interlace = 0;

  int channels() const { return colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1; }
};

PngHeader png_header(const fs::path& file, const std::string& bytes, size_t at, uint64_t length) {
  if (length != 13) refuse(file, "PNG", "its header has the wrong length");
  PngHeader header;
  header.width = big_endian(bytes, at, 4), header.height = big_endian(bytes, at + 4, 4);
  header.depth = bytes[at + 8], header.colour = bytes[at + 9], header.interlace = bytes[at + 12];
  const bool grey_depth = header.depth == 1 || header.depth == 2 || header.depth == 4;
  const bool deep = header.depth == 8 || (header.depth == 16 && header.colour != 3);
  const bool colour = header.colour == 0 || header.colour == 2 || header.colour == 3 ||
                      header.colour == 4 || header.colour == 6;
  const bool depth = deep || (grey_depth && (header.colour == 0 || header.colour == 3));
  if (!colour || !depth || bytes[at + 10] != 0 || bytes[at + 11] != 0 || header.interlace < 0 ||
      header.interlace > 1 || header.width == 0 || header.height == 0 ||
      header.width > 0x7fffffff || header.height > 0x7fffffff)
    refuse(file, "PNG", "its header holds impossible values");
  return header;
}

// Rows and bytes a row, without the filter byte, of each pass of the picture (PNG specification,
// section 8).
std::vector<std::array<uint64_t, 2>> png_passes(const PngHeader& h) {
  const auto row_bytes = [&](uint64_t width) {
    return (width * uint64_t(h.depth * h.channels()) + 7) / 8;
  };
  if (h.interlace == 0) return {{h.height, row_bytes(h.width)}};
  constexpr std::array<std::array<uint64_t, 4>, 7> adam7{{{0, 0, 8, 8},
                                                          {4, 0, 8, 8},
                                                          {0, 4, 4, 8},
                                                          {2, 0, 4, 4},
                                                          {0, 2, 2, 4},
                                                          {1, 0, 2, 2},
                                                          {0, 1, 1, 2}}};
  std::vector<std::array<uint64_t, 2>> passes;
  for (const auto& [x, y, dx, dy] : adam7) {
    if (h.width <= x || h.height <= y) continue;
    passes.push_back({(h.height - y + dy - 1) / dy, row_bytes((h.width - x + dx - 1) / dx)});
  }
  return passes;
}

// Follows the unpacked bytes from row to row and sees to the filter bytes.
class PngRows {
 public:
  explicit PngRows(const PngHeader& header) : passes_(png_passes(header)) {}

  bool complete() const { return pass_ == passes_.size(); }

  // False for a filter that does not exist.
  bool take(const unsigned char* data, uint64_t count) {
    while (count > 0 && !complete()) {
      if (left_ == 0) {
        if (*data > 4) return false;
        ++data, --count;
        left_ = passes_[pass_][1];
        ++row_;
      }
      const uint64_t part = std::min(left_, count);
      data += part, count -= part, left_ -= part;
      if (left_ == 0 && row_ == passes_[pass_][0]) ++pass_, row_ = 0;
    }
    return true;
  }

 private:
  std::vector<std::array<uint64_t, 2>> passes_;
  size_t pass_ = 0;
  uint64_t row_ = 0, left_ = 0;
};

// The compressed data of all IDAT chunks, unpacked piece by piece.
class PngData {
 public:
  explicit PngData(const PngHeader& header) : rows_(header) {
    good_ = inflateInit(&stream_) == Z_OK;
  }
  ~PngData() { inflateEnd(&stream_); }
  PngData(const PngData&) = delete;
  PngData& operator=(const PngData&) = delete;

  bool complete() const { return good_ && rows_.complete(); }

  bool take(const std::string& bytes, size_t at, uint64_t length) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + at));
    stream_.avail_in = static_cast<uInt>(length);
    while (good_ && !ended_ && (stream_.avail_in > 0 || stream_.avail_out == 0)) {
      stream_.next_out = piece_.data();
      stream_.avail_out = static_cast<uInt>(piece_.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_BUF_ERROR) break;
      ended_ = result == Z_STREAM_END;
      good_ = (result == Z_OK || ended_) &&
              rows_.take(piece_.data(), piece_.size() - stream_.avail_out);
    }
    return good_;
  }

 private:
  z_stream stream_{};
  std::array<unsigned char, 1 << 15> piece_{};
  PngRows rows_;
  bool good_ = false, ended_ = false;
};

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

void require_whole_png(const fs::path& file) {
  const std::string bytes = read_file(file);
  size_t at = 8;
  std::optional<PngHeader> header;
  std::unique_ptr<PngData> data;
  bool palette = false;
  while (at + 12 <= bytes.size()) {
    const uint64_t length = big_endian(bytes, at, 4);
    const std::string type = bytes.substr(at + 4, 4);
    if (length > bytes.size() - at - 12 || (type == "IHDR") != !header) break;
    const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + at + 4),
                            static_cast<uInt>(length + 4));
    if (sum != big_endian(bytes, at + 8 + length, 4)) break;
    if (type == "IHDR") {
      header = png_header(file, bytes, at + 8, length);
      require_possible_sides(file, header->width, header->height);
      data = std::make_unique<PngData>(*header);
    } else if (type == "PLTE") {
      if (palette || length == 0 || length % 3 != 0 || length > 768 || header->colour == 0 ||
          header->colour == 4)
        break;
      palette = true;
    } else if (type == "IDAT") {
      if ((header->colour == 3 && !palette) || !data->take(bytes, at + 8, length)) break;
    } else if (type == "IEND") {
      if (data->complete()) return;
      break;
    } else if (type[0] >= 'A' && type[0] <= 'Z') {
      break;  // a critical chunk that nobody knows
    }
    at += 12 + length;
  }
  refuse(file, "PNG", fmt::format("truncated or altered at byte {} of {}", at, bytes.size()));
}

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

void require_possible_size(const fs::path& file, double bytes) {
  constexpr double most_shrinking = 1032;
  const auto size = double(fs::file_size(file));
  if (bytes > most_shrinking * (size + 1024))
    throw Error(fmt::format(
        "{}: damaged picture file: its header says {:.0f} bytes of pixels, which its {:.0f} bytes "
        "cannot hold.",
        file.string(), bytes, size));
}

}  // namespace x2ctpa
