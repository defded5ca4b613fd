#include "imaging/files/volume_file_size.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "imaging/files/meta_image_header.h"
#include "imaging/files/nifti_header.h"
#include "imaging/files/picture_checks.h"
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

void require_whole_nifti(const fs::path& file, const NiftiHeader& header) {
  const double expected = header.end(), found = double(fs::file_size(file));
  std::ifstream in(file, std::ios::binary);
  std::array<unsigned char, 4> bytes{};
  in.read(reinterpret_cast<char*>(bytes.data()), 2);
  if (bytes[0] != 0x1F || bytes[1] != 0x8B) {
    // Also refuses an end that is no number.
    if (!(expected > 0 && found >= expected)) refuse(file, expected, found);
    return;
  }
  // A gzip file ends with the size of what it holds; one of several members must be unpacked to
  // know.
  in.seekg(-4, std::ios::end);
  in.read(reinterpret_cast<char*>(bytes.data()), 4);
  const uint32_t stated =
      bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
  if (expected > 0 && expected < 1e15 && stated == uint32_t(uint64_t(expected))) return;
  if (const double size = unpacked_size(file); !(expected > 0 && size >= expected))
    refuse(file, expected, size);
}

// Of the voxels that a header announces.
double bytes_of(const ImageHeader& header) {
  double bytes = double(header.components) * double(header.bits) / 8;
  for (int64_t n : header.size) bytes *= double(n);
  return bytes;
}

[[noreturn]] void refuse_several_files(const fs::path& file) {
  throw Error(
      fmt::format("{}: its voxels lie in several files, which is not supported. Convert it "
                  "to one NIfTI file.",
                  file.string()));
}

// The file that holds the voxels of `header`, which names it; it may lie beside the header.
fs::path data_file(const fs::path& header, const std::string& name) {
  const fs::path data = header.parent_path() / name;
  std::error_code absent;
  // Neither a pipe, on which reading would wait, nor a device, which has no end.
  if (!fs::is_regular_file(data, absent))
    throw Error(fmt::format("{}: its voxels are absent: {} cannot be read.", header.string(),
                            data.string()));
  return data;
}

// Whether the zlib or gzip data from byte `at` of `file` unpack to `bytes`: 0 when they are
// damaged, else what there is, up to that.
double inflated_size(const fs::path& file, double at, double bytes) {
  std::ifstream in(file, std::ios::binary);
  in.seekg(std::streamoff(at));
  std::vector<char> packed(1 << 16), unpacked(1 << 16);
  z_stream stream{};
  constexpr int either_header = 32 + MAX_WBITS;
  if (inflateInit2(&stream, either_header) != Z_OK) return 0;
  double found = 0;
  int status = Z_OK;
  while (status == Z_OK && found < bytes) {
    if (stream.avail_in == 0) {
      in.read(packed.data(), std::streamsize(packed.size()));
      stream.next_in = reinterpret_cast<Bytef*>(packed.data());
      stream.avail_in = uInt(in.gcount());
      if (stream.avail_in == 0) break;
    }
    stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
    stream.avail_out = uInt(unpacked.size());
    status = inflate(&stream, Z_NO_FLUSH);
    found += double(unpacked.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return found;
}

void require_whole_meta_image(const fs::path& file, const ImageHeader& header) {
  const MetaImageHeader meta = MetaImageHeader::read(file);
  const std::string name = meta.text("ElementDataFile");
  if (name.starts_with("LIST") || name.find('%') != std::string::npos) refuse_several_files(file);
  const bool local = name == "LOCAL" || name == "Local" || name == "local";
  const fs::path data = local ? file : data_file(file, name);
  const auto size = double(fs::file_size(data));
  const double bytes = bytes_of(header);
  const double skipped = local ? double(meta.bytes) : std::max(0.0, meta.number("HeaderSize", 0));
  if (!meta.is_true("CompressedData")) {
    if (!(size >= skipped + bytes)) refuse(data, skipped + bytes, size);
    return;
  }
  // ITK gives what was in memory for voxels that are not unpacked, and without the size unpacks
  // the header.
  if (local && meta.text("CompressedDataSize").empty())
    throw Error(
        fmt::format("{}: damaged: its header does not say CompressedDataSize. Convert it "
                    "again from its source.",
                    file.string()));
  const double packed = meta.number("CompressedDataSize", size - skipped);
  if (!(packed > 0 && size >= skipped + packed)) refuse(data, skipped + packed, size);
  if (const double found = inflated_size(data, skipped, bytes); found < bytes)
    refuse(data, bytes, found);
}

// ITK looks whether all is there, after taking memory for it.
void require_possible_nrrd(const fs::path& file, const ImageHeader& header) {
  std::ifstream in(file, std::ios::binary);
  fs::path data = file;
  std::string line;
  for (int n = 0; n < 1000 && std::getline(in, line); ++n) {
    if (line.empty() || line == "\r") break;
    const auto colon = line.find(':');
    const std::string key = line.substr(0, colon);
    if (colon == std::string::npos || (key != "data file" && key != "datafile")) continue;
    const std::string name = trimmed(line.substr(colon + 1));
    if (name.starts_with("LIST") || name.find('%') != std::string::npos) refuse_several_files(file);
    data = data_file(file, name);
  }
  require_possible_size(data, bytes_of(header));
}

}  // namespace

void require_sane_nifti(const fs::path& file) {
  const auto header = NiftiHeader::read(file);
  if (!header)
    throw Error(
        fmt::format("{}: reading failed: it does not begin with a NIfTI header. Is it a file "
                    "of another format?",
                    file.string()));
  // The NIfTI library takes any other number for one in the other order of bytes.
  if (const int64_t dimensions = header->code(40, 16); dimensions < 1 || dimensions > 7)
    throw Error(
        fmt::format("{}: its header is damaged: it says {} dimensions, expected 1 to 7. "
                    "Convert it again from its source.",
                    file.string(), dimensions));
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
  require_whole_nifti(file, *header);
}

void require_whole_volume(const fs::path& file, const ImageHeader& header) {
  if (header.format == "NRRD") require_possible_nrrd(file, header);
  if (header.format == "MetaImage") require_whole_meta_image(file, header);
}

}  // namespace x2ctpa
