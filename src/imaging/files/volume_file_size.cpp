#include "imaging/files/volume_file_size.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "imaging/files/nifti_header.h"
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
  const auto header = NiftiHeader::read(file);
  const double expected = header ? header->end() : 0, found = double(fs::file_size(file));
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

void require_sane_nifti_geometry(const fs::path& file) {
  const auto header = NiftiHeader::read(file);
  if (!header) return;
  const auto check = [&](const char* name, size_t first, size_t later, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const double value = header->real(first, later, i);
      // Also false for what is not a number. No place in a scanner is a kilometre away.
      if (std::abs(value) < 1e6) continue;
      throw Error(
          fmt::format("{}: its header is damaged: {} holds {}. Convert it again from its source.",
                      file.string(), name, value));
    }
  };
  check("pixdim", 76, 104, 4);
  if (header->code(252, 344) != 0) check("the qform", 256, 352, 6);
  if (header->code(254, 348) != 0) check("the sform", 280, 400, 12);
}

void require_whole_volume(const fs::path& file, const ImageHeader& header) {
  if (header.format == "NIfTI") require_whole_nifti(file);
  if (header.format == "MetaImage") require_whole_meta_image(file, header);
}

}  // namespace x2ctpa
