#include "imaging/files/picture_turn.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Whole numbers of a block of bytes; nothing beyond its end.
struct Block {
  std::string_view bytes;
  bool big_endian = true;

  std::optional<uint32_t> number(size_t at, size_t count) const {
    if (at > bytes.size() || count > bytes.size() - at) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t place = big_endian ? i : count - 1 - i;
      value = value << 8 | static_cast<unsigned char>(bytes[at + place]);
    }
    return value;
  }
};

struct OrientationTag {
  int value = 1;
  size_t at = 0;  // of the two bytes
  bool big_endian = true;
};

// The orientation in the first directory of TIFF's structure, which EXIF uses as well.
std::optional<OrientationTag> orientation_tag(std::string_view tiff) {
  constexpr uint32_t orientation = 0x0112;
  const bool big = tiff.starts_with(std::string_view("MM\0*", 4));
  if (!big && !tiff.starts_with(std::string_view("II*\0", 4))) return std::nullopt;
  const Block block{tiff, big};
  const auto directory = block.number(4, 4);
  const auto count = directory ? block.number(*directory, 2) : std::nullopt;
  if (!count) return std::nullopt;
  for (size_t i = 0; i < *count; ++i) {
    const size_t entry = size_t(*directory) + 2 + 12 * i;
    if (block.number(entry, 2) != orientation) continue;
    const auto value = block.number(entry + 8, 2);
    if (!value || *value < 1 || *value > 8) return std::nullopt;
    return OrientationTag{int(*value), entry + 8, big};
  }
  return std::nullopt;
}

std::string beginning(const fs::path& file, size_t most) {
  std::string bytes(most, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), std::streamsize(most));
  bytes.resize(size_t(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

// The block APP1 that begins with "Exif", before the picture.
std::string jpeg_exif(const fs::path& file) {
  const std::string bytes = beginning(file, size_t{1} << 19);
  const Block block{bytes};
  size_t at = 2;
  while (const auto marker = block.number(at, 2)) {
    const auto length = block.number(at + 2, 2);
    if (*marker < 0xFFC0 || *marker == 0xFFDA || !length || *length < 2) break;
    const std::string_view content =
        std::string_view(bytes).substr(std::min(at + 4, bytes.size()), *length - 2);
    if (*marker == 0xFFE1 && content.starts_with(std::string_view("Exif\0\0", 6)))
      return std::string(content.substr(6));
    at += 2 + *length;
  }
  return {};
}

// The chunk eXIf, which may follow the picture.
std::string png_exif(const fs::path& file) {
  constexpr uint32_t longest = 1 << 20;
  std::ifstream in(file, std::ios::binary);
  in.seekg(8);
  std::string head(8, '\0');
  while (in.read(head.data(), 8)) {
    const uint32_t length = Block{head}.number(0, 4).value_or(0);
    if (head.substr(4) == "eXIf" && length <= longest) {
      std::string exif(length, '\0');
      return in.read(exif.data(), std::streamsize(length)) ? exif : std::string();
    }
    in.seekg(std::streamoff(length) + 4, std::ios::cur);
  }
  return {};
}

}  // namespace

int picture_orientation(const fs::path& file, const std::string& format) {
  std::optional<OrientationTag> tag;
  if (format == "JPEG") tag = orientation_tag(jpeg_exif(file));
  if (format == "PNG") tag = orientation_tag(png_exif(file));
  if (format == "TIFF") tag = orientation_tag(read_file(file));
  return tag ? tag->value : 1;
}

at::Tensor turned_upright(const at::Tensor& samples, int orientation) {
  if (orientation == 1) return samples;
  const auto type = samples.scalar_type();
  // LibTorch flips no unsigned words; their bits are those of signed ones.
  at::Tensor x = type == torch::kUInt16   ? samples.view(torch::kInt16)
                 : type == torch::kUInt32 ? samples.view(torch::kInt32)
                 : type == torch::kUInt64 ? samples.view(torch::kInt64)
                                          : samples;
  // From 5 on rows and columns have changed places.
  if (orientation >= 5) x = x.transpose(0, 1);
  const bool right_to_left =
      orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool bottom_to_top =
      orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  if (right_to_left) x = x.flip({1});
  if (bottom_to_top) x = x.flip({0});
  return x.contiguous().view(type);
}

bool write_as_upright_tiff(const fs::path& file, const fs::path& copy) {
  std::string bytes = read_file(file);
  const auto tag = orientation_tag(bytes);
  if (!tag) return false;
  bytes[tag->at] = char(tag->big_endian ? 0 : 1);
  bytes[tag->at + 1] = char(tag->big_endian ? 1 : 0);
  write_file(copy, bytes);
  return true;
}

}  // namespace x2ctpa
