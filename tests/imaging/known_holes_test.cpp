// Holes that readers of images had, here or in the libraries: each file ends with a reason, in
// little memory and time.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/cost.h"
#include "support/dicom_bytes.h"
#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::cost_checked;

std::string little_endian(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += char(value >> (8 * i) & 0xFF);
  return bytes;
}

std::string tag_bytes(uint32_t tag) {
  return little_endian(tag >> 16, 2) + little_endian(tag & 0xFFFF, 2);
}

// Every way to read a DICOM file; the texts of the errors.
std::vector<std::string> read_in_every_way(const fs::path& file) {
  std::vector<std::string> errors;
  errors.push_back(cost_checked([&] { read_dicom_slice(file); }));
  errors.push_back(cost_checked([&] { read_dicom_tags(file); }));
  errors.push_back(cost_checked([&] { read_radiograph(file); }));
  cost_checked([&] { scan_dicom_files({file}); });
  return errors;
}

// CVE-2026-3650: GDCM takes memory for what an element of the meta information with a value
// representation that is none says that it holds.
TEST(KnownHoles, MetaInformationOfANonStandardRepresentationTakesNoMemory) {
  const test::TemporaryFolder folder;
  const std::string sound =
      test::CtMaker{test::linear_field(test::rotation(0), {6, 12, 10})}.slice(2).file(
          test::Syntax::explicit_little);
  for (const char* vr : {"XX", "ZZ", "??", "ob", "UN", "OB", "UT", "SQ"}) {
    for (const uint32_t length : {0x7FFFFFF0u, 0xFFFFFFFFu, 0xFFFFFFFEu, 0x40000000u}) {
      for (const uint32_t tag : {0x00020000u, 0x00020102u, 0x00020016u, 0x00000002u, 0x0002FFFFu}) {
        const std::string hostile =
            tag_bytes(tag) + vr + std::string(2, '\0') + little_endian(length, 4);
        const std::string head = sound.substr(0, 132);
        const std::vector<std::string> files{head + hostile + sound.substr(132), head + hostile,
                                             hostile + sound.substr(132)};
        for (const std::string& bytes : files) {
          write_file(folder / "meta.dcm", bytes);
          for (const std::string& error : read_in_every_way(folder / "meta.dcm"))
            EXPECT_NE(error.find("meta.dcm"), std::string::npos) << vr << length << tag << error;
        }
      }
    }
  }
}

// ITK issues 6813, 6815, 6816 and 6817 are of this kind.
TEST(KnownHoles, FilesOfOtherFormatsUnderOurEndingsAreRefused) {
  const test::TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> contents{
      {"text", "hello\n"},
      {"page", "<!DOCTYPE html><html><body>404 Not Found</body></html>"},
      {"pdf", "%PDF-1.7\n1 0 obj\n<< /Length 99999999999 >>\nstream\n"},
      {"program", std::string("\x7F"
                              "ELF\2\1\1",
                              7) +
                      std::string(500, '\1')},
      {"zip", "PK\3\4" + std::string(300, '\0')},
      {"hdf5", "\x89HDF\r\n\x1a\n" + std::string(300, '\xFF')},
      {"gif", "GIF89a\xFF\xFF\xFF\xFF" + std::string(300, '\x2C')},
      {"bitmap", "BM" + std::string(300, '\x7F')},
      {"vtk",
       "# vtk DataFile Version 3.0\nx\nBINARY\nDATASET STRUCTURED_POINTS\nDIMENSIONS 99999 "
       "99999 99999\nPOINT_DATA 999999999\n"},
      {"lsm", "II*\0\x08\0\0\0\1\0\x6C\x86\1\0\xFF\xFF\xFF\x7F\0\0\0\0\0\0\0\0"},
      {"zeros", std::string(4000, '\0')},
      {"ones", std::string(4000, '\xFF')},
      {"one byte", "x"}};
  write_nifti(test::linear_field(test::rotation(0)), folder / "sound.nii", "x");
  write_nifti(test::linear_field(test::rotation(0)), folder / "sound.nii.gz", "x");
  write_png16(at::rand({40, 40}), folder / "sound.png");
  for (const char* name : {"sound.nii", "sound.nii.gz", "sound.png"})
    contents.emplace_back(name, read_file(folder / name));
  for (const auto& [what, bytes] : contents) {
    for (const std::string end :
         {".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".png", ".jpg", ".tif"}) {
      const fs::path file = folder / ("foreign" + end);
      write_file(file, bytes);
      const bool same_format = what == "sound" + end || (what == "sound.nii.gz" && end == ".nii") ||
                               (what == "sound.nii" && end == ".nii.gz");
      const bool picture = end == ".png" || end == ".jpg" || end == ".tif" || end == ".dcm";
      const std::string as_volume = cost_checked([&] { read_volume(file); });
      const std::string as_xray = cost_checked([&] { read_radiograph(file); });
      if (!same_format && !picture) {
        EXPECT_NE(as_volume.find("foreign" + end), std::string::npos) << what << as_volume;
      }
      // Pictures are told by what they hold.
      if (what != "sound.png") {
        EXPECT_NE(as_xray.find("foreign" + end), std::string::npos) << what << as_xray;
      }
      for (const std::string& error : {as_volume, as_xray})
        EXPECT_EQ(error.find("itk::"), std::string::npos) << error;
    }
  }
}

std::string deflated(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = uInt(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = uInt(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  return packed;
}

// A deflated file whose private element holds `zeros` bytes.
std::string deflated_file(const test::DicomBytes& elements, size_t zeros) {
  const std::string uid = std::string("1.2.840.10008.1.2.1.99");
  const std::string meta = tag_bytes(0x00020010) + "UI" + little_endian(uid.size(), 2) + uid;
  const std::string bomb = tag_bytes(0x7FE10010) + "OB" + std::string(2, '\0') +
                           little_endian(zeros, 4) + std::string(zeros, '\0');
  return std::string(128, '\0') + "DICM" + meta +
         deflated(elements.data_set(test::Syntax::explicit_little) + bomb);
}

TEST(KnownHoles, DeflatedBombsAreRefusedOrCostWhatTheirSizeAllows) {
  const test::TemporaryFolder folder;
  const auto slice = test::CtMaker{test::linear_field(test::rotation(0), {6, 12, 10})}.slice(2);
  write_file(folder / "small.dcm", deflated_file(slice, 1 << 20));
  EXPECT_LT(fs::file_size(folder / "small.dcm"), 4096u);
  EXPECT_EQ(cost_checked([&] { read_dicom_slice(folder / "small.dcm"); }, 64), "");
  write_file(folder / "large.dcm", deflated_file(slice, (size_t{1} << 29) + 1));
  EXPECT_LT(fs::file_size(folder / "large.dcm"), 1u << 20);
  const std::string error = cost_checked([&] { read_dicom_slice(folder / "large.dcm"); }, 1100, 30);
  EXPECT_NE(error.find("deflated data are too large"), std::string::npos) << error;
}

// 1 kB of RLE or JPEG that says to be 16,384 x 16,384.
TEST(KnownHoles, CompressedPixelsThatTheFileCannotHoldTakeNoMemory) {
  const test::TemporaryFolder folder;
  for (const char* syntax :
       {"1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"}) {
    auto slice = test::CtMaker{test::linear_field(test::rotation(0), {6, 12, 10})}.slice(2);
    slice.remove(0x7FE00010).word(0x00280010, 16384).word(0x00280011, 16384);
    std::string uid = syntax;
    if (uid.size() % 2) uid += '\0';
    const std::string segment = little_endian(2, 4) + little_endian(64, 4) + little_endian(66, 4) +
                                std::string(52, '\0') + std::string(4, '\x81');
    const std::string item = tag_bytes(0xFFFEE000);
    const std::string pixels = tag_bytes(0x7FE00010) + "OB" + std::string(2, '\0') +
                               "\xFF\xFF\xFF\xFF" + item + little_endian(0, 4) + item +
                               little_endian(segment.size(), 4) + segment + tag_bytes(0xFFFEE0DD) +
                               little_endian(0, 4);
    write_file(folder / "claim.dcm", std::string(128, '\0') + "DICM" + tag_bytes(0x00020010) +
                                         "UI" + little_endian(uid.size(), 2) + uid +
                                         slice.data_set(test::Syntax::explicit_little) + pixels);
    const std::string error = cost_checked([&] { read_dicom_slice(folder / "claim.dcm"); }, 64);
    EXPECT_NE(error.find("claim.dcm"), std::string::npos) << syntax << error;
    EXPECT_NE(cost_checked([&] { read_radiograph(folder / "claim.dcm"); }, 64), "") << syntax;
  }
}

// A baseline JPEG of 40 x 40 zeros, and a DICOM file around it.
std::string jpeg_of(const std::string& before_frame, int bits, int components, int side) {
  const std::string table = std::string("\1", 1) + std::string(16, '\0');
  const auto segment = [](char marker, const std::string& data) {
    const size_t size = data.size() + 2;
    return std::string("\xFF") + marker + char(size >> 8) + char(size & 0xFF) + data;
  };
  std::string frame{char(bits),      char(side >> 8),   char(side & 0xFF),
                    char(side >> 8), char(side & 0xFF), char(components)};
  std::string scan(1, char(components));
  for (int i = 1; i <= components; ++i) {
    frame += std::string{char(i), '\x11', '\0'};
    scan += std::string{char(i), '\0'};
  }
  return "\xFF\xD8" + before_frame + segment('\xDB', '\0' + std::string(64, '\1')) +
         segment('\xC0', frame) + segment('\xC4', '\0' + table) + segment('\xC4', '\x10' + table) +
         segment('\xDA', scan + std::string("\0\x3F\0", 3)) +
         std::string(size_t(side * side / 16 * components), '\0') + "\xFF\xD9";
}

std::string jpeg_dicom(const std::string& jpeg) {
  auto slice = test::CtMaker{test::linear_field(test::rotation(0), {6, 40, 40})}.slice(2);
  slice.remove(0x7FE00010);
  for (const uint32_t tag : {0x00280100u, 0x00280101u}) slice.word(tag, 8);
  slice.word(0x00280102, 7);
  const std::string uid = "1.2.840.10008.1.2.4.50", item = tag_bytes(0xFFFEE000);
  const std::string even = jpeg.size() % 2 ? jpeg + '\0' : jpeg;
  return std::string(128, '\0') + "DICM" + tag_bytes(0x00020010) + "UI" +
         little_endian(uid.size(), 2) + uid + slice.data_set(test::Syntax::explicit_little) +
         tag_bytes(0x7FE00010) + "OB" + std::string(2, '\0') + "\xFF\xFF\xFF\xFF" + item +
         little_endian(0, 4) + item + little_endian(even.size(), 4) + even + tag_bytes(0xFFFEE0DD) +
         little_endian(0, 4);
}

// Found by scripts/fuzz.sh: GDCM ends the process where libjpeg warns of a header.
TEST(KnownHoles, JpegHeadersThatGdcmAssertsOnAreRefused) {
  const test::TemporaryFolder folder;
  const auto errors_of = [&](const std::string& jpeg) {
    write_file(folder / "jpeg.dcm", jpeg_dicom(jpeg));
    return read_in_every_way(folder / "jpeg.dcm");
  };
  EXPECT_EQ(errors_of(jpeg_of("", 8, 1, 40))[0], "") << "the sound one is read";
  const std::string jfif_2("\xFF\xE0\0\x10JFIF\0\2\1\0\0\1\0\1\0\0", 18),
      adobe_7(
          "\xFF\xEE\0\x0E"
          "Adobe\0\x64\0\0\0\0\7",
          16);
  for (const std::string& jpeg :
       {jpeg_of("garbage", 8, 1, 40), jpeg_of(jfif_2, 8, 1, 40), jpeg_of(adobe_7, 8, 3, 40),
        jpeg_of("", 8, 4, 40), jpeg_of("", 8, 2, 40), jpeg_of("", 9, 1, 40), jpeg_of("", 8, 1, 48),
        jpeg_of("", 8, 1, 40).substr(0, 60), std::string("\xFF\xD8\xFF\xD9"),
        std::string("\xFF\xD8\0", 3)})
    EXPECT_NE(errors_of(jpeg)[0].find("a JPEG"), std::string::npos) << errors_of(jpeg)[0];
}

// Found by scripts/fuzz.sh: the NIfTI library takes a header of 1024 dimensions for one of 4 in the
// other order of bytes, and ITK ends the process on the matrix that it reads then.
TEST(KnownHoles, NiftiHeadersOfImpossibleDimensionsAreRefused) {
  const test::TemporaryFolder folder;
  write_nifti(test::linear_field(test::rotation(0)), folder / "sound.nii", "x");
  for (const int dimensions : {0, 8, -1, 0x0400, 0x0300, 32767}) {
    std::string bytes = read_file(folder / "sound.nii");
    bytes.replace(40, 2, little_endian(uint64_t(dimensions), 2));
    write_file(folder / "dims.nii", bytes);
    const std::string error = cost_checked([&] { read_volume(folder / "dims.nii"); }, 64);
    EXPECT_NE(error.find("dimensions"), std::string::npos) << dimensions << error;
  }
}

TEST(KnownHoles, NiftiExtensionsOfLyingSizeAreRefusedOrPassedOver) {
  const test::TemporaryFolder folder;
  write_nifti(test::linear_field(test::rotation(0)), folder / "sound.nii", "x");
  const std::string sound = read_file(folder / "sound.nii");
  for (const int64_t size : {int64_t{0x7FFFFFF0}, int64_t{-16}, int64_t{0}, int64_t{1}, int64_t{8},
                             int64_t{17}, int64_t{1} << 30, int64_t{64}}) {
    for (const float offset : {368.f, 352.f, 2e9f, 1e30f, -1.f}) {
      std::string bytes = sound.substr(0, 348) + std::string("\1\0\0\0", 4) +
                          little_endian(uint64_t(size), 4) + little_endian(6, 4) +
                          std::string(8, 'x') + sound.substr(352);
      std::memcpy(bytes.data() + 108, &offset, 4);
      write_file(folder / "extended.nii", bytes);
      const std::string error = cost_checked([&] { read_volume(folder / "extended.nii"); }, 64);
      if (offset > 1e6) {
        EXPECT_NE(error.find("truncated"), std::string::npos) << size << error;
      }
      cost_checked([&] { summarise_volume(folder / "extended.nii"); }, 64);
    }
  }
}

std::string meta_image(const std::string& more, const std::string& data) {
  return "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
         "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 1 2 3\n"
         "ElementType = MET_SHORT\n" +
         more + data;
}

TEST(KnownHoles, VoxelsThatAMetaImageDoesNotHoldAreNotMemory) {
  const test::TemporaryFolder folder;
  const auto error_of = [&](const std::string& bytes) {
    write_file(folder / "a.mha", bytes);
    return cost_checked([&] { read_volume(folder / "a.mha"); }, 64);
  };
  std::string packed(200, '\0');
  uLongf size = packed.size();
  const std::string voxels(24, '\1');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(voxels.data()), voxels.size());
  packed.resize(size);
  const std::string says = fmt::format("CompressedData = True\nCompressedDataSize = {}\n", size);
  const std::string local = "ElementDataFile = LOCAL\n";
  EXPECT_EQ(error_of(meta_image(says + "DimSize = 2 3 2\n" + local, packed)), "");
  for (const char* dims : {"2 3 4", "1000 1000 1000", "1 1 100000"}) {
    const std::string lie = says + fmt::format("DimSize = {}\n", dims) + local;
    EXPECT_NE(error_of(meta_image(lie, packed)).find("truncated"), std::string::npos) << dims;
  }
  EXPECT_NE(error_of(meta_image("CompressedData = True\nDimSize = 2 3 2\n" + local, packed)), "");
  for (const char* where : {"LIST\na.raw", "a%d.raw 1 2 1", "/dev/zero", "/dev/stdin", "."}) {
    const std::string elsewhere = fmt::format("DimSize = 2 3 2\nElementDataFile = {}\n", where);
    EXPECT_NE(error_of(meta_image(elsewhere, "")).find("a.mha"), std::string::npos) << where;
  }
}

// Found by scripts/fuzz.sh: ITK's parser copies names and texts into fields of 255 bytes, and reads
// as many numbers as the header says that there are dimensions.
TEST(KnownHoles, MetaImageHeadersThatOverflowTheParserAreRefused) {
  const test::TemporaryFolder folder;
  const std::string end = "DimSize = 2 3 2\nElementDataFile = LOCAL\n", data(24, '\1');
  const auto error_of = [&](const std::string& more) {
    write_file(folder / "a.mha", meta_image(more + end, data));
    return cost_checked([&] { read_volume(folder / "a.mha"); }, 64);
  };
  EXPECT_EQ(error_of(""), "");
  EXPECT_EQ(error_of("0008|0008 = " + std::string(900, 'x') + "\n"), "");
  for (const char* line :
       {"NDims =99999999999 3", "NDims = 1000", "NDims = 0", "NDims = -1", "NDims = 3.5"})
    EXPECT_NE(error_of(std::string(line) + "\n").find("NDims"), std::string::npos) << line;
  for (const std::string& line :
       {std::string(300, 'k') + " = 1", "Comment = " + std::string(300, 'c'),
        "Name = " + std::string(5000, 'n'), std::string("Comment = a\0b", 13),
        std::string("Na\xFFme = x"), std::string("no key"), std::string(" = x"), std::string(),
        std::string("ElementNumberOfChannels = 9999999")})
    EXPECT_NE(error_of(line + "\n").find("of its header"), std::string::npos) << line;
}

TEST(KnownHoles, NrrdFilesThatCannotHoldTheirSizesAreRefused) {
  const test::TemporaryFolder folder;
  for (const char* encoding : {"raw", "gzip", "ascii", "hex"}) {
    for (const char* data :
         {"", "data file: /dev/zero\n", "data file: LIST\n", "data file: a%d 1 2\n"}) {
      write_file(
          folder / "a.nrrd",
          fmt::format("NRRD0004\ntype: double\ndimension: 3\nspace: left-posterior-superior\n"
                      "sizes: 1000 1000 1000\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n"
                      "kinds: domain domain domain\nendian: little\nencoding: {}\n"
                      "space origin: (1,2,3)\n{}\n12345678",
                      encoding, data));
      const std::string error = cost_checked([&] { read_volume(folder / "a.nrrd"); }, 64);
      EXPECT_NE(error.find("a.nrrd"), std::string::npos) << encoding << data << error;
    }
  }
}

}  // namespace
}  // namespace x2ctpa
