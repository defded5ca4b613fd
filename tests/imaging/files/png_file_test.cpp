#include "imaging/files/png_file.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <string>
#include <utility>

#include "imaging/files/png_bytes.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

std::string big_endian(uLong value) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out += char(value >> shift & 0xff);
  return out;
}

// A chunk sBIT, which says how many bits of each sample tell something, behind the header.
std::string with_significant_bits(std::string png, int bits) {
  constexpr size_t header_end = 8 + 4 + 4 + 13 + 4;
  const std::string chunk = std::string("sBIT") + char(bits);
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), uInt(chunk.size()));
  return png.insert(header_end, big_endian(1) + chunk + big_endian(sum));
}

TEST(PngFile, SamplesAreReadAsStoredWhateverItsSignificantBits) {
  const test::TemporaryFolder folder;
  const auto wide = at::tensor({0, 1, 4095, 4096, 43981, 65535}, at::kInt).view({2, 3});
  for (const auto& [samples, bits] :
       {std::pair(wide.to(at::kUInt16), 12), std::pair(wide.remainder(256).to(at::kByte), 5)}) {
    write_file(folder / "film.png", with_significant_bits(png_bytes(samples), bits));
    ImageHeader header;
    const auto read = read_png_file(folder / "film.png", header, {});
    EXPECT_EQ(header.bits, bits == 12 ? 16 : 8);
    EXPECT_TRUE(at::equal(read.squeeze(2).to(at::kInt), samples.to(at::kInt)));
  }
}

}  // namespace
}  // namespace x2ctpa
