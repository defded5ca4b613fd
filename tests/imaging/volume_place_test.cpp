// NIfTI files whose qform and sform place the voxels differently, and volumes that say nothing of
// their orientation.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

template <class T>
T field(const std::string& bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
void set(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

constexpr size_t qform_code = 252, sform_code = 254, first_row = 280;

class NiftiForms : public testing::Test {
 protected:
  // A volume whose header `change` has edited.
  fs::path file(const std::function<void(std::string&)>& change) {
    write_nifti(test::linear_field(test::rotation(10)), folder_ / "a.nii", "test", false);
    std::string bytes = read_file(folder_ / "a.nii");
    change(bytes);
    write_file(folder_ / "a.nii", bytes);
    return folder_ / "a.nii";
  }

  // The sform with x mirrored about its own place.
  static void mirror(std::string& bytes) {
    for (size_t i = 0; i < 4; ++i)
      set(bytes, first_row + 4 * i, -field<float>(bytes, first_row + 4 * i));
  }
  static void shift(std::string& bytes, float mm) {
    set(bytes, first_row + 12, field<float>(bytes, first_row + 12) + mm);
  }

  static std::string code_of(const fs::path& file, NiftiForm form = NiftiForm::automatic) {
    try {
      read_volume(file, form);
    } catch (const SeriesError& e) {
      return e.reason_code();
    }
    return "";
  }

  test::TemporaryFolder folder_;
};

TEST_F(NiftiForms, OnesThatAgreeRaiseNoDoubt) {
  VolumeDoubts doubts;
  const Volume v = read_volume(file([](std::string&) {}), NiftiForm::automatic, &doubts);
  EXPECT_TRUE(doubts.codes.empty()) << doubts.notes.front();
  EXPECT_LT(test::error_of_linear_field(v), 1e-2);
}

TEST_F(NiftiForms, AMirroredOneIsRefusedWithBothSidesAndTheRemedy) {
  const auto path = file(mirror);
  try {
    read_volume(path);
    ADD_FAILURE() << "left and right were taken from one of two forms";
  } catch (const SeriesError& e) {
    EXPECT_EQ(e.reason_code(), "forms-contradict");
    const std::string text = e.what();
    for (const char* part : {"a.nii", "LPS", "RPS", "--preprocess.nifti_form"})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST_F(NiftiForms, TheOptionChoosesAndTheDoubtStays) {
  const auto path = file(mirror);
  VolumeDoubts doubts;
  const Volume by_qform = read_volume(path, NiftiForm::qform, &doubts);
  EXPECT_LT(test::error_of_linear_field(by_qform), 1e-2);
  ASSERT_EQ(doubts.codes.size(), 1u);
  EXPECT_EQ(doubts.codes[0], "forms-contradict");
  EXPECT_NE(doubts.notes[0].find("the qform is taken"), std::string::npos) << doubts.notes[0];
  const Volume by_sform = read_volume(path, NiftiForm::sform, &doubts);
  EXPECT_NEAR(by_sform.direction[0][0], -by_qform.direction[0][0], 1e-5);
}

TEST_F(NiftiForms, AShiftedOneIsNamedAndTheSformTaken) {
  VolumeDoubts doubts;
  const Volume v =
      read_volume(file([](std::string& b) { shift(b, 20); }), NiftiForm::automatic, &doubts);
  ASSERT_EQ(doubts.codes.size(), 1u);
  EXPECT_EQ(doubts.codes[0], "forms-differ");
  EXPECT_NE(doubts.notes[0].find("20 mm"), std::string::npos) << doubts.notes[0];
  EXPECT_NEAR(v.origin_mm[0], -31 - 20, 1e-3);
  read_volume(file([](std::string& b) { shift(b, 0.1f); }), NiftiForm::automatic, &doubts);
  EXPECT_TRUE(doubts.codes.empty()) << "a tenth of a millimetre is rounding";
}

TEST_F(NiftiForms, ABentSformGivesWayToTheQform) {
  VolumeDoubts doubts;
  const Volume v = read_volume(
      file([](std::string& b) { set(b, first_row + 4, field<float>(b, first_row + 4) + 0.4f); }),
      NiftiForm::automatic, &doubts);
  ASSERT_EQ(doubts.codes.size(), 1u);
  EXPECT_NE(doubts.notes[0].find("the qform is taken"), std::string::npos) << doubts.notes[0];
  EXPECT_LT(test::error_of_linear_field(v), 1e-2);
}

TEST_F(NiftiForms, WithoutEitherLeftIsNotToldFromRightAndTheFileIsRefused) {
  const auto path = file([](std::string& b) {
    set<int16_t>(b, qform_code, 0);
    set<int16_t>(b, sform_code, 0);
  });
  EXPECT_EQ(code_of(path), "no-orientation");
  EXPECT_EQ(summarise_volume(path).doubts.codes.at(0), "no-orientation") << "info still looks";
}

TEST_F(NiftiForms, OneAloneIsEnough) {
  for (const size_t unset : {qform_code, sform_code}) {
    VolumeDoubts doubts;
    const Volume v = read_volume(file([&](std::string& b) { set<int16_t>(b, unset, 0); }),
                                 NiftiForm::automatic, &doubts);
    EXPECT_TRUE(doubts.codes.empty());
    EXPECT_LT(test::error_of_linear_field(v), 1e-2);
  }
}

TEST(VolumePlace, NrrdAndMetaImageWithoutOrientationAreDoubted) {
  const test::TemporaryFolder folder;
  const std::string voxels(16, '\0');
  write_file(folder / "a.nrrd",
             "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\nendian: little\n"
             "spacings: 1 2 3\n\n" +
                 voxels);
  write_file(folder / "a.mha",
             "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
             "CompressedData = False\nElementSpacing = 1 2 3\nDimSize = 2 2 2\n"
             "ElementType = MET_SHORT\nElementDataFile = LOCAL\n" +
                 voxels);
  for (const char* name : {"a.nrrd", "a.mha"}) {
    VolumeDoubts doubts;
    read_volume(folder / name, NiftiForm::automatic, &doubts);
    ASSERT_EQ(doubts.codes.size(), 1u) << name;
    EXPECT_EQ(doubts.codes[0], "orientation-assumed");
  }
}

}  // namespace
}  // namespace x2ctpa
