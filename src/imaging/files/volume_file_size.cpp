#include "imaging/files/volume_file_size.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& file, double expected, double found) {
  throw Error(
      fmt::format("{}: truncated: its header announces {:.0f} bytes, found {:.0f}. Copy it again "
                  "from its source.",
                  file.string(), expected, found));
}

// A number at `at` of a header whose byte order may be foreign.
template <class T>
T number_at(const std::vector<char>& head, size_t at, bool swapped) {
  std::array<char, sizeof(T)> bytes;
  std::copy_n(head.begin() + std::ptrdiff_t(at), sizeof(T), bytes.begin());
  if (swapped) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

// The beginning of a file, unpacked where it is compressed; enough for a NIfTI-2 header.
std::vector<char> nifti_head(const fs::path& file) {
  std::vector<char> head(544);
  // zlib hands files through that are not compressed.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  const int n = in ? gzread(in.get(), head.data(), unsigned(head.size())) : 0;
  head.resize(size_t(std::max(n, 0)));
  return head;
}

bool is_nifti_size(const std::vector<char>& head, int32_t size, bool swapped) {
  return number_at<int32_t>(head, 0, swapped) == size;
}

bool is_swapped(const std::vector<char>& head) {
  return is_nifti_size(head, 348, true) || is_nifti_size(head, 540, true);
}

// Where a NIfTI-1 or NIfTI-2 file must end by its header; 0 where there is no such header.
double nifti_end(const std::vector<char>& head) {
  if (head.size() < 348) return 0;
  const auto is = [&](int32_t size, bool swapped) { return is_nifti_size(head, size, swapped); };
  const bool swapped = is_swapped(head);
  double bits = 0, offset = 0, voxels = 1;
  if (is(348, swapped)) {
    bits = number_at<int16_t>(head, 72, swapped);
    offset = number_at<float>(head, 108, swapped);
    const int dims = std::clamp<int>(number_at<int16_t>(head, 40, swapped), 0, 7);
    for (int d = 1; d <= dims; ++d) voxels *= number_at<int16_t>(head, 40 + 2 * size_t(d), swapped);
  } else if (is(540, swapped) && head.size() >= 540) {
    bits = number_at<int16_t>(head, 14, swapped);
    offset = double(number_at<int64_t>(head, 168, swapped));
    const auto dims = std::clamp<int64_t>(number_at<int64_t>(head, 16, swapped), 0, 7);
    for (int64_t d = 1; d <= dims; ++d)
      voxels *= double(number_at<int64_t>(head, 16 + 8 * size_t(d), swapped));
  }
  return offset + voxels * bits / 8;
}

// Bytes of a gzip file once unpacked, by unpacking it; 0 when it ends too early or is damaged.
double unpacked_size(const fs::path& file) {
  const gzFile in = gzopen(file.c_str(), "rb");
  if (!in) return 0;
  std::vector<char> buffer(1 << 20);
  double bytes = 0;
  int n = 1;
  while ((n = gzread(in, buffer.data(), unsigned(buffer.size()))) > 0) bytes += n;
  return gzclose(in) == Z_OK && n == 0 ? bytes : 0;
}

void require_whole_nifti(const fs::path& file) {
  const auto head = nifti_head(file);
  const double expected = nifti_end(head), found = double(fs::file_size(file));
  std::ifstream in(file, std::ios::binary);
  std::array<unsigned char, 4> bytes{};
  in.read(reinterpret_cast<char*>(bytes.data()), 2);
  if (bytes[0] != 0x1F || bytes[1] != 0x8B) {
    if (expected <= 0 || found < expected) refuse(file, expected, found);
    return;
  }
  // A gzip file ends with the size of what it holds; one of several members must be unpacked to
  // know.
  in.seekg(-4, std::ios::end);
  in.read(reinterpret_cast<char*>(bytes.data()), 4);
  const uint32_t stated =
      bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
  if (expected > 0 && expected < 1e15 && stated == uint32_t(uint64_t(expected))) return;
  if (const double size = unpacked_size(file); expected <= 0 || size < expected)
    refuse(file, expected, size);
}

// The "Key = value" lines of a MetaImage header and, under "", the bytes that they take.
std::map<std::string, std::string> meta_image_keys(const fs::path& file) {
  std::map<std::string, std::string> keys;
  std::ifstream in(file, std::ios::binary);
  const auto trimmed = [](std::string text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
    const auto first = text.find_first_not_of(" \t");
    return first == std::string::npos ? std::string() : text.substr(first);
  };
  std::string line;
  for (int n = 0; n < 1000 && std::getline(in, line); ++n) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = trimmed(line.substr(0, equals));
    keys[key] = trimmed(line.substr(equals + 1));
    if (key == "ElementDataFile") break;
  }
  const auto end = in.eof() ? int64_t(fs::file_size(file)) : int64_t(in.tellg());
  keys[""] = std::to_string(end);
  return keys;
}

double number_of(const std::map<std::string, std::string>& keys, const std::string& key,
                 double otherwise) {
  const auto found = keys.find(key);
  double value = otherwise;
  if (found != keys.end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
  return value;
}

void require_whole_meta_image(const fs::path& file, const ImageHeader& header) {
  const auto keys = meta_image_keys(file);
  const auto name = keys.find("ElementDataFile");
  if (name == keys.end())
    throw Error(fmt::format("{}: truncated: its header has no end.", file.string()));
  if (name->second.starts_with("LIST") || name->second.find('%') != std::string::npos) return;
  const bool local = name->second == "LOCAL" || name->second == "Local" || name->second == "local";
  const fs::path data = local ? file : file.parent_path() / name->second;
  std::error_code absent;
  const auto size = fs::file_size(data, absent);
  if (absent)
    throw Error(
        fmt::format("{}: its voxels are absent: {} cannot be read.", file.string(), data.string()));
  const auto compressed = keys.find("CompressedData");
  double bytes = double(header.components) * double(header.bits) / 8;
  for (int64_t n : header.size) bytes *= double(n);
  if (compressed != keys.end() &&
      (compressed->second.starts_with('T') || compressed->second.starts_with('t')))
    bytes = number_of(keys, "CompressedDataSize", 1);
  const double skipped =
      local ? number_of(keys, "", 0) : std::max(0.0, number_of(keys, "HeaderSize", 0));
  if (double(size) < skipped + bytes) refuse(data, skipped + bytes, double(size));
}

}  // namespace

std::array<double, 3> nifti_pixdim(const fs::path& file) {
  std::array<double, 3> pixdim{0, 0, 0};
  const auto head = nifti_head(file);
  if (head.size() < 348) return pixdim;
  const bool swapped = is_swapped(head);
  for (size_t axis = 0; axis < 3; ++axis) {
    if (is_nifti_size(head, 348, swapped))
      pixdim[axis] = number_at<float>(head, 80 + 4 * axis, swapped);
    else if (head.size() >= 540)
      pixdim[axis] = number_at<double>(head, 112 + 8 * axis, swapped);
  }
  return pixdim;
}

void require_sane_nifti_geometry(const fs::path& file) {
  const auto head = nifti_head(file);
  if (head.size() < 348) return;
  const bool swapped = is_swapped(head), second = is_nifti_size(head, 540, swapped);
  if (!second && !is_nifti_size(head, 348, swapped)) return;
  if (second && head.size() < 540) return;
  const auto check = [&](const char* name, size_t at, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const double value = second ? number_at<double>(head, at + 8 * i, swapped)
                                  : number_at<float>(head, at + 4 * i, swapped);
      // Also false for what is not a number. No place in a scanner is a kilometre away.
      if (std::abs(value) < 1e6) continue;
      throw Error(
          fmt::format("{}: its header is damaged: {} holds {}. Convert it again from its source.",
                      file.string(), name, value));
    }
  };
  check("pixdim", second ? 104 : 76, 4);
  const auto code = [&](size_t first, size_t later) {
    return second ? number_at<int32_t>(head, later, swapped)
                  : number_at<int16_t>(head, first, swapped);
  };
  if (code(252, 344) != 0) check("the qform", second ? 352 : 256, 6);
  if (code(254, 348) != 0) check("the sform", second ? 400 : 280, 12);
}

void require_whole_volume(const fs::path& file, const ImageHeader& header) {
  if (header.format == "NIfTI") require_whole_nifti(file);
  if (header.format == "MetaImage") require_whole_meta_image(file, header);
}

}  // namespace x2ctpa
