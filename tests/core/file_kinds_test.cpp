#include "x2ctpa/core/file_kinds.h"

#include <gtest/gtest.h>

namespace x2ctpa {
namespace {

TEST(FileKinds, EndingsCountInAnyCaseAndNiftisPairIsOne) {
  EXPECT_EQ(file_ending("a/SCAN.NII.GZ"), ".nii.gz");
  EXPECT_EQ(file_ending("a.b/scan.Nhdr"), ".nhdr");
  EXPECT_EQ(file_ending("set.tar.gz"), ".tar.gz");
  EXPECT_EQ(file_ending("list.csv.gz"), ".gz");
  EXPECT_EQ(file_ending("a.nii/scan"), "");
  EXPECT_EQ(file_ending(".hidden"), "");
}

TEST(FileKinds, AStemIsTheNameAsSpelledWithoutItsEnding) {
  EXPECT_EQ(file_stem("a/Scan.1.NII.gz"), "Scan.1");
  EXPECT_EQ(file_stem("film.v2.png"), "film.v2");
  EXPECT_EQ(file_stem("a.b/IM0001"), "IM0001");
  EXPECT_EQ(file_stem("scan.nii.nii"), "scan.nii");
}

TEST(FileKinds, EveryFileIsOfOneKindAtMost) {
  for (const char* name : {"a.nii", "a.NII.GZ", "a.nrrd", "a.NHDR", "a.mha", "a.Mhd"}) {
    EXPECT_TRUE(is_volume_file(name)) << name;
    EXPECT_FALSE(is_picture_file(name) || is_dicom_named(name) || is_archive_file(name)) << name;
  }
  for (const char* name : {"a.png", "a.JPG", "a.jpeg", "a.Tif", "a.tiff"}) {
    EXPECT_TRUE(is_picture_file(name)) << name;
    EXPECT_FALSE(is_volume_file(name) || is_dicom_named(name) || is_archive_file(name)) << name;
  }
  for (const char* name : {"a.dcm", "a.DCM", "a.dicom", "a.IMA"}) {
    EXPECT_TRUE(is_dicom_named(name)) << name;
    EXPECT_FALSE(is_volume_file(name) || is_picture_file(name) || is_archive_file(name)) << name;
  }
  for (const char* name : {"a.zip", "a.TAR.GZ", "a.tgz", "a.tar"})
    EXPECT_TRUE(is_archive_file(name)) << name;
  for (const char* name : {"a.gz", "nii", "a.txt", "1.2.840.5", "a.nii.txt"})
    EXPECT_FALSE(is_volume_file(name) || is_picture_file(name) || is_dicom_named(name) ||
                 is_archive_file(name))
        << name;
}

TEST(FileKinds, ErrorTextsNameEveryEnding) {
  EXPECT_EQ(volume_endings(), ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd");
  EXPECT_EQ(xray_endings(), ".dcm, .dicom, .ima, .png, .jpg, .jpeg, .tif, .tiff");
}

}  // namespace
}  // namespace x2ctpa
