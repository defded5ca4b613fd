#include "x2ctpa/imaging/volume/volume.h"

#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "imaging/files/image_file.h"
#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

using namespace test;

// `direction` with its columns permuted and flipped.
Mat3 shuffled(const Mat3& direction) {
  Mat3 m;
  for (int r = 0; r < 3; ++r) m[r] = {-direction[r][2], direction[r][0], -direction[r][1]};
  return m;
}

TEST(Volume, IndexUndoesPoint) {
  const Volume v = linear_field(rotation(33));
  const Vec3 back = v.index(v.point({1.5, -2, 7}));
  EXPECT_NEAR(back[0], 1.5, 1e-9);
  EXPECT_NEAR(back[1], -2, 1e-9);
  EXPECT_NEAR(back[2], 7, 1e-9);
}

TEST(Volume, OrientingToLpsLeavesEveryVoxelWhereItLies) {
  const Volume v = oriented_to_lps(linear_field(shuffled(rotation(20))));
  EXPECT_LT(error_of_linear_field(v), 1e-3);
  EXPECT_EQ(v.size_dhw(), (std::array<int64_t, 3>{12, 7, 9}));
}

TEST(Volume, OrientingToLpsMakesTheDirectionNearestToIdentity) {
  const Volume v = oriented_to_lps(linear_field(shuffled(rotation(20))));
  for (int a = 0; a < 3; ++a) EXPECT_GT(v.direction[a][a], 0.9);
}

TEST(Volume, TwoAxesAt45DegreesDoNotBecomeOne) {
  const double s = std::sqrt(0.5);
  const Volume v = oriented_to_lps(linear_field({{{s, s, 0}, {s, -s, 0}, {0, 0, 1}}}));
  EXPECT_LT(error_of_linear_field(v), 1e-3);
}

TEST(Nifti, RoundTripKeepsAnObliqueVolumeAndItsPlace) {
  const TemporaryFolder folder;
  const Volume v = linear_field(rotation(25));
  for (const char* name : {"a.nii", "a.nii.gz"}) {
    write_nifti(v, folder / name, "SYNTHETIC test", false);
    const Volume back = read_volume(folder / name);
    EXPECT_TRUE(torch::equal(back.hu, v.hu));
    EXPECT_LT(error_of_linear_field(back), 1e-2);
    EXPECT_EQ(summarise_volume(folder / name).description, "SYNTHETIC test");
  }
}

TEST(Nifti, Int16RoundsAndSaturates) {
  const TemporaryFolder folder;
  Volume v = linear_field(rotation(0));
  v.hu.fill_(12.6);
  v.hu[0][0][0] = 1e6;
  write_nifti(v, folder / "a.nii", "", true);
  const Volume back = read_volume(folder / "a.nii");
  EXPECT_EQ(back.hu[0][0][0].item<float>(), 32767);
  EXPECT_EQ(back.hu[1][1][1].item<float>(), 13);
}

TEST(Nifti, HeaderHasQformSformAndMillimetres) {
  const TemporaryFolder folder;
  write_nifti(linear_field(rotation(25)), folder / "a.nii", "x");
  const std::string bytes = read_file(folder / "a.nii");
  int16_t qform = 0, sform = 0;
  std::memcpy(&qform, bytes.data() + 252, 2);
  std::memcpy(&sform, bytes.data() + 254, 2);
  EXPECT_GT(qform, 0);
  EXPECT_GT(sform, 0);
  EXPECT_EQ(bytes[123] & 7, 2);  // xyzt_units: millimetres
}

TEST(Nifti, ValuesThatAreNotNumbersAreNotWritten) {
  const TemporaryFolder folder;
  Volume v = linear_field(rotation(0));
  v.hu[0][0][0] = NAN;
  EXPECT_THROW(write_nifti(v, folder / "a.nii", ""), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.nii"));
}

// A 2x2x2 NRRD of zeros with these geometry lines.
void write_nrrd(const std::filesystem::path& file, const std::string& geometry) {
  write_file(file,
             "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n" +
                 geometry + "\n" + std::string(16, '\0'));
}

TEST(ReadVolume, NearlyOrthonormalAxesAreMadeOrthonormal) {
  const TemporaryFolder folder;
  write_nrrd(folder / "a.nrrd",
             "space: left-posterior-superior\nspace directions: (1,0,0.004) (0,2,0) (0,0,3)\nspace "
             "origin: (1,2,3)\n");
  const Volume v = read_volume(folder / "a.nrrd");
  double dot = 0;
  for (int r = 0; r < 3; ++r) dot += v.direction[r][0] * v.direction[r][2];
  EXPECT_NEAR(dot, 0, 1e-12);
  EXPECT_EQ(v.origin_mm, (Vec3{1, 2, 3}));
}

TEST(ReadVolume, ShearedAxesAreRefused) {
  const TemporaryFolder folder;
  write_nrrd(folder / "a.nrrd",
             "space: left-posterior-superior\nspace directions: (1,0,0.3) (0,2,0) (0,0,3)\nspace "
             "origin: (1,2,3)\n");
  EXPECT_THROW(read_volume(folder / "a.nrrd"), Error);
}

TEST(ReadVolume, ANiftiWhosePlaceIsNoNumberIsRefused) {
  const TemporaryFolder folder;
  write_nifti(linear_field(rotation(25)), folder / "a.nii", "x");
  const std::string whole = read_file(folder / "a.nii");
  const float values[] = {std::nanf(""), std::numeric_limits<float>::infinity(), 1e30f};
  // pixdim, quatern_c, qoffset_x, srow_y (nifti1.h)
  for (const size_t at : {80, 260, 268, 300}) {
    for (const float value : values) {
      std::string bytes = whole;
      std::memcpy(bytes.data() + at, &value, sizeof value);
      write_file(folder / "b.nii", bytes);
      try {
        read_volume(folder / "b.nii");
        ADD_FAILURE() << value << " at byte " << at;
      } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("b.nii"), std::string::npos) << e.what();
      }
    }
  }
}

TEST(ReadVolume, EndingsCountInAnyCase) {
  const TemporaryFolder folder;
  const Volume v = linear_field(rotation(25));
  ImageHeader header;
  header.origin_mm = v.origin_mm, header.spacing_mm = v.spacing_mm, header.direction = v.direction;
  write_nhdr(v, folder / "A.NHDR");
  for (const char* name : {"A.NII", "B.NII.GZ", "C.Nii.gz", "D.Nrrd", "E.MHA"}) {
    std::string lower = name;
    for (char& c : lower) c = char(std::tolower(c));
    write_image_file(v.hu, header, folder / lower);
    std::filesystem::rename(folder / lower, folder / name);
  }
  for (const char* name : {"A.NHDR", "A.NII", "B.NII.GZ", "D.Nrrd", "E.MHA"})
    EXPECT_LT(error_of_linear_field(read_volume(folder / name)), 1e-2) << name;
  try {
    read_volume(folder / "C.Nii.gz");
    ADD_FAILURE() << "the NIfTI library reads mixed case by now: no need to refuse it";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("Rename the file to end in .nii.gz"), std::string::npos);
  }
}

TEST(ReadVolume, UnknownSpacingIsRefused) {
  const TemporaryFolder folder;
  write_nrrd(folder / "a.nrrd", "");
  EXPECT_THROW(read_volume(folder / "a.nrrd"), Error);
}

TEST(ReadVolume, BrokenAndForeignFilesGiveAnErrorWithTheirPath) {
  const TemporaryFolder folder;
  for (const char* name : {"a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.txt"}) {
    write_file(folder / name, "no image");
    try {
      read_volume(folder / name);
      FAIL() << name;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos);
    }
  }
  EXPECT_THROW(read_volume(folder / "absent.nii"), Error);
}

// Every beginning of `name` in steps, and all but its last bytes, must give an Error with the path.
void expect_beginnings_refused(const TemporaryFolder& folder, const std::string& name,
                               size_t last) {
  const std::string bytes = read_file(folder / name);
  const std::string broken = "b" + name;
  ASSERT_NO_THROW(read_volume(folder / name)) << name;
  for (size_t length = 1; length + last <= bytes.size();
       length += length + 30 < bytes.size() ? 29 : 1) {
    write_file(folder / broken, bytes.substr(0, length));
    try {
      read_volume(folder / broken);
      ADD_FAILURE() << name << " of " << bytes.size() << " bytes was read from " << length;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(broken), std::string::npos) << e.what();
    }
  }
}

TEST(ReadVolume, TruncatedNiftiIsRefusedAtAnyLength) {
  const TemporaryFolder folder;
  for (const char* name : {"a.nii", "a.nii.gz"}) {
    write_nifti(linear_field(rotation(25)), folder / name, "x");
    expect_beginnings_refused(folder, name, 1);
  }
}

TEST(ReadVolume, TruncatedNrrdAndMetaimageAreRefusedAtAnyLength) {
  const TemporaryFolder folder;
  write_nrrd(folder / "a.nrrd",
             "space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\nspace "
             "origin: (1,2,3)\n");
  expect_beginnings_refused(folder, "a.nrrd", 1);
  write_file(folder / "a.mha",
             "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
             "CompressedData = False\nElementSpacing = 1 2 3\nDimSize = 2 2 2\n"
             "ElementType = MET_SHORT\nElementDataFile = LOCAL\n" +
                 std::string(16, '\1'));
  expect_beginnings_refused(folder, "a.mha", 1);
}

TEST(ReadVolume, TruncatedCompressedNrrdAndMetaimageAreRefused) {
  const TemporaryFolder folder;
  ImageHeader header;
  const Volume v = linear_field(rotation(0));
  header.spacing_mm = v.spacing_mm;
  for (const char* name : {"a.nrrd", "a.mha"}) {
    write_image_file(v.hu, header, folder / name);
    // NRRD's gzip ends with a checksum and a size, without which the voxels are still whole.
    expect_beginnings_refused(folder, name, name == std::string("a.nrrd") ? 12 : 1);
  }
}

}  // namespace
}  // namespace x2ctpa
