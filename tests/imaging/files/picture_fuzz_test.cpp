// Damaged PNG, JPEG and TIFF files: each ends with a picture or with an Error, never with the
// process.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <itkJPEGImageIO.h>
#include <itkTIFFImageIO.h>
#include <torch/utils.h>
#include <zlib.h>

#include <filesystem>
#include <random>
#include <string>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Bytes of a grey picture of 60 x 44 pixels in one of the formats.
std::string picture_bytes(const std::string& extension, const fs::path& folder) {
  torch::manual_seed(1);
  const auto picture = at::rand({44, 60});
  const fs::path file = folder / ("whole" + extension);
  if (extension == ".png") {
    write_png16(picture, file);
    return read_file(file);
  }
  const bool jpeg = extension == ".jpg";
  itk::ImageIOBase::Pointer io;
  if (jpeg)
    io = itk::JPEGImageIO::New().GetPointer();
  else
    io = itk::TIFFImageIO::New().GetPointer();
  io->SetFileName(file.string());
  io->SetNumberOfDimensions(2);
  io->SetDimensions(0, 60);
  io->SetDimensions(1, 44);
  io->SetComponentType(jpeg ? itk::IOComponentEnum::UCHAR : itk::IOComponentEnum::USHORT);
  io->SetPixelType(itk::IOPixelEnum::SCALAR);
  io->SetNumberOfComponents(1);
  itk::ImageIORegion region(2);
  region.SetSize(0, 60);
  region.SetSize(1, 44);
  io->SetIORegion(region);
  const auto samples =
      jpeg ? picture.mul(255).to(at::kByte) : picture.mul(65535).to(at::kInt).to(at::kUInt16);
  io->Write(samples.contiguous().data_ptr());
  return read_file(file);
}

// Gives every PNG chunk the check sum of its damaged content, so that the decoder sees the damage.
void mend_check_sums(std::string& png) {
  size_t at = 8;
  while (at + 12 <= png.size()) {
    uint64_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(png[at + i]);
    if (length > png.size() - at - 12) return;
    const auto* data = reinterpret_cast<const Bytef*>(png.data() + at + 4);
    const uLong sum = crc32(0, data, static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) png[at + 8 + length + i] = char(sum >> (24 - 8 * i));
    at += 12 + length;
  }
}

class DamagedPicture : public testing::TestWithParam<std::string> {
 protected:
  // 1 when the bytes are refused, 0 when they give a sound picture.
  int refused(const std::string& bytes) {
    write_file(folder_ / ("damaged" + GetParam()), bytes);
    try {
      const auto xray = read_radiograph(folder_ / ("damaged" + GetParam()));
      EXPECT_TRUE(xray.pixels.isfinite().all().item<bool>());
      return 0;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("damaged"), std::string::npos) << e.what();
      return 1;
    }
  }

  test::TemporaryFolder folder_;
};

TEST_P(DamagedPicture, TheWholeFileIsRead) {
  EXPECT_EQ(refused(picture_bytes(GetParam(), folder_ / "")), 0);
}

TEST_P(DamagedPicture, ATruncatedFileIsRefused) {
  const std::string whole = picture_bytes(GetParam(), folder_ / "");
  for (size_t part = 0; part < 40; ++part) {
    const size_t length = whole.size() * part / 40;
    EXPECT_EQ(refused(whole.substr(0, length)), 1) << length << " of " << whole.size();
  }
}

TEST_P(DamagedPicture, FlippedBitsEndWithAPictureOrAnError) {
  const std::string whole = picture_bytes(GetParam(), folder_ / "");
  std::mt19937 dice(7);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = whole;
    const size_t flips = 1 + dice() % 8;
    for (size_t f = 0; f < flips; ++f) {
      // Half of them in the header, where sizes and types are.
      const size_t at =
          dice() % (dice() % 2 ? damaged.size() : std::min<size_t>(damaged.size(), 200));
      damaged[at] = char(damaged[at] ^ (1 << dice() % 8));
    }
    if (GetParam() == ".png" && i % 4) mend_check_sums(damaged);
    refused(damaged);
  }
}

TEST_P(DamagedPicture, RandomBytesBehindTheMagicAreRefused) {
  const std::string whole = picture_bytes(GetParam(), folder_ / "");
  std::mt19937 dice(9);
  for (int i = 0; i < 60; ++i) {
    std::string damaged = whole.substr(0, i % 2 ? 8 : 4);
    for (int b = 0; b < 600; ++b) damaged.push_back(char(dice()));
    refused(damaged);
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, DamagedPicture, testing::Values(".png", ".jpg", ".tif"),
                         [](const auto& info) { return info.param.substr(1); });

TEST(HugePicture, IsRefusedByItsHeader) {
  // A PNG header of 20,000 x 20,000 pixels; its few bytes of data are never unpacked.
  const test::TemporaryFolder folder;
  write_png8(at::rand({32, 32}), folder / "a.png");
  std::string bytes = read_file(folder / "a.png");
  for (size_t at : {16, 20}) bytes.replace(at, 4, std::string("\0\0\x4e\x20", 4));
  mend_check_sums(bytes);
  write_file(folder / "a.png", bytes);
  try {
    read_radiograph(folder / "a.png");
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("20000"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace x2ctpa
