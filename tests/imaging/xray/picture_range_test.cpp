// X-rays as PNG and TIFF whose values use a part of their type, or that lie on their side.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <tiffio.h>
#include <torch/utils.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "imaging/files/picture_turn.h"
#include "imaging/files/png_bytes.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Words (H, W) from 0 to `top`.
at::Tensor film(double top, int64_t height = 60, int64_t width = 40) {
  torch::manual_seed(3);
  auto x = at::rand({height, width}).mul(top);
  x[0][0] = top;
  return x.round().to(at::kInt).to(at::kUInt16).contiguous();
}

void write_png_words(const at::Tensor& words, const fs::path& file) {
  write_file(file, png_bytes(words));
}

void write_tiff_words(const at::Tensor& words, const fs::path& file, uint16_t orientation) {
  TIFF* tiff = TIFFOpen(file.c_str(), "w");
  TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, uint32_t(words.size(1)));
  TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, uint32_t(words.size(0)));
  TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 16);
  TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
  TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, orientation);
  for (int64_t row = 0; row < words.size(0); ++row) {
    auto line = words[row].contiguous();
    TIFFWriteScanline(tiff, line.data_ptr(), uint32_t(row));
  }
  TIFFClose(tiff);
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += char(value >> shift & 0xFF);
  return bytes;
}

// The EXIF block of a picture with this orientation and nothing else.
std::string exif(int orientation) {
  return std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) + char(orientation) +
         std::string("\0\0\0\0\0\0", 6);
}

// The PNG with a chunk eXIf before its end.
std::string with_exif(const std::string& png, int orientation) {
  const std::string content = "eXIf" + exif(orientation);
  const auto crc =
      crc32(0, reinterpret_cast<const unsigned char*>(content.data()), unsigned(content.size()));
  return png.substr(0, png.size() - 12) + big_endian(uint32_t(content.size() - 4)) + content +
         big_endian(uint32_t(crc)) + png.substr(png.size() - 12);
}

bool warns(const Radiograph& xray, const std::string& code) {
  return std::find(xray.codes.begin(), xray.codes.end(), code) != xray.codes.end();
}

TEST(PictureRange, AFilmOf12BitsIn16IsAsBrightAsOneOf8AndSaysSo) {
  const test::TemporaryFolder folder;
  const auto words = film(3786);
  write_png_words(words, folder / "a.png");
  write_tiff_words(words, folder / "a.tif", ORIENTATION_TOPLEFT);
  for (const char* name : {"a.png", "a.tif"}) {
    const Radiograph xray = read_radiograph(folder / name, CxrInvert::never);
    EXPECT_EQ(xray.bits, 12) << name;
    EXPECT_NEAR(xray.pixels.max().item<float>(), 3786.0 / 4095, 1e-4) << name;
    EXPECT_TRUE(warns(xray, "range")) << name;
    EXPECT_NE(xray.warnings.at(0).find("12 of 16 bits"), std::string::npos) << xray.warnings[0];
  }
}

TEST(PictureRange, FullFilmsAndAFewBrightPixelsChangeNothing) {
  const test::TemporaryFolder folder;
  write_png_words(film(65535), folder / "full.png");
  const Radiograph full = read_radiograph(folder / "full.png", CxrInvert::never);
  EXPECT_EQ(full.bits, 16);
  EXPECT_FALSE(warns(full, "range"));
  auto marked = film(1000).to(at::kInt);
  marked.slice(0, 5, 8).slice(1, 5, 8) = 65535;  // a letter of 9 pixels in 2400
  write_png_words(marked.to(at::kUInt16), folder / "marked.png");
  const Radiograph xray = read_radiograph(folder / "marked.png", CxrInvert::never);
  EXPECT_EQ(xray.bits, 10);
  EXPECT_EQ(xray.pixels[5][5].item<float>(), 1);
}

TEST(PictureTurn, EachOrientationComesUpright) {
  // What a camera stores under each orientation of the upright picture [[1, 2, 3], [4, 5, 6]].
  const auto upright = at::arange(1, 7).view({2, 3}).to(at::kInt).unsqueeze(2);
  const auto wide = [](std::vector<int64_t> values) { return at::tensor(values).view({2, 3}); };
  const auto high = [](std::vector<int64_t> values) { return at::tensor(values).view({3, 2}); };
  const std::vector<at::Tensor> stored{wide({1, 2, 3, 4, 5, 6}), wide({3, 2, 1, 6, 5, 4}),
                                       wide({6, 5, 4, 3, 2, 1}), wide({4, 5, 6, 1, 2, 3}),
                                       high({1, 4, 2, 5, 3, 6}), high({3, 6, 2, 5, 1, 4}),
                                       high({6, 3, 5, 2, 4, 1}), high({4, 1, 5, 2, 6, 3})};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto samples = stored[size_t(orientation - 1)].to(at::kUInt16).unsqueeze(2);
    EXPECT_TRUE(at::equal(turned_upright(samples, orientation).to(at::kInt), upright))
        << orientation;
  }
}

TEST(PictureTurn, APngAndATiffAreTurnedAsTheirOrientationSays) {
  const test::TemporaryFolder folder;
  const auto words = film(65535);
  write_png_words(words, folder / "a.png");
  const at::Tensor upright = read_radiograph(folder / "a.png", CxrInvert::never).pixels;
  for (const int orientation : {3, 6}) {
    // Turned back, as a camera on its side would store it.
    const auto stored =
        turned_upright(words.unsqueeze(2), orientation == 6 ? 8 : 3).squeeze(2).contiguous();
    write_file(folder / "b.png", with_exif(png_bytes(stored), orientation));
    write_tiff_words(stored, folder / "b.tif", uint16_t(orientation));
    for (const char* name : {"b.png", "b.tif"}) {
      const Radiograph xray = read_radiograph(folder / name, CxrInvert::never);
      ASSERT_EQ(xray.pixels.sizes(), upright.sizes()) << name << orientation;
      EXPECT_TRUE(at::equal(xray.pixels, upright)) << name << orientation;
      EXPECT_TRUE(warns(xray, "turned")) << name;
    }
  }
}

TEST(PictureTurn, ADamagedExifBlockSaysNothing) {
  const test::TemporaryFolder folder;
  const std::string block = exif(6);
  for (size_t length = 0; length < block.size(); ++length) {
    write_file(folder / "a.jpg", std::string("\xFF\xD8\xFF\xE1", 4) +
                                     std::string(1, char((length + 8) >> 8)) +
                                     std::string(1, char((length + 8) & 0xFF)) +
                                     std::string("Exif\0\0", 6) + block.substr(0, length));
    const int found = picture_orientation(folder / "a.jpg", "JPEG");
    EXPECT_TRUE(found == 1 || (found == 6 && length >= 20)) << length;
  }
  write_file(folder / "a.jpg",
             std::string("\xFF\xD8\xFF\xE1\0\x22", 6) + std::string("Exif\0\0", 6) + block);
  EXPECT_EQ(picture_orientation(folder / "a.jpg", "JPEG"), 6);
}

}  // namespace
}  // namespace x2ctpa
