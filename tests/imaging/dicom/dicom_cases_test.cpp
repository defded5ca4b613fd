// One test per folder or file of the real cases: what a user needs of each.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::real_data;
using Codes = std::vector<std::string>;

class DicomCasesSeries : public testing::Test {
 protected:
  void SetUp() override { X2CTPA_NEEDS_REAL_DATA("dicom_cases/series"); }

  static fs::path folder(const std::string& name) { return real_data("dicom_cases/series") / name; }
  // The only series of a case.
  static DicomSeries only(const std::string& name) {
    const auto all = scan_dicom_folder(folder(name));
    EXPECT_EQ(all.size(), 1u);
    return all.at(0);
  }
  // The case without fault: 40 slices at 7.975 mm.
  static Volume whole() { return read_volume(folder("rle")); }
  static std::string code_of_refusal(const std::string& name) {
    try {
      read_volume(folder(name));
    } catch (const SeriesError& e) {
      return e.reason_code();
    }
    return "read";
  }
  // Slices that differ from the faultless case.
  static int64_t changed_slices(const Volume& volume) {
    return ((volume.hu - whole().hu).abs().amax({1, 2}) > 1).sum().item<int64_t>();
  }
};

TEST_F(DicomCasesSeries, MissingSlicesAreRefusedPastTheLimitAndFilledWithinIt) {
  DicomSeries series = only("missing_slices");
  EXPECT_EQ(series.problems, Codes{"gap"});
  EXPECT_EQ(code_of_refusal("missing_slices"), "gap");
  EXPECT_NE(series.reason.find("31.9"), std::string::npos) << series.reason;
  SeriesLimits limits;
  limits.missing_mm = 40;
  series = scan_dicom_folder(folder("missing_slices"), limits).at(0);
  const Volume filled = read_dicom_series(series);
  ASSERT_EQ(filled.size_dhw(), whole().size_dhw());
  EXPECT_NEAR(filled.spacing_mm[2], 7.975, 0.001);
  EXPECT_EQ(changed_slices(filled), 3);
}

TEST_F(DicomCasesSeries, DuplicatePositionIsDroppedAndReported) {
  DicomSeries series = only("duplicate_position");
  EXPECT_EQ(series.problems, Codes{"duplicate-position"});
  EXPECT_EQ(series.left_out.size(), 1u);
  const Volume volume = read_dicom_series(series);
  EXPECT_EQ(changed_slices(volume), 0);
  EXPECT_NEAR(volume.spacing_mm[2], 7.975, 0.001);
}

TEST_F(DicomCasesSeries, TruncatedFileIsReportedAsAMissingSlice) {
  DicomSeries series = only("truncated_file");
  EXPECT_EQ(series.problems, (Codes{"unreadable-file", "gap"}));
  const Volume volume = read_dicom_series(series);
  EXPECT_NEAR(volume.spacing_mm[2], 7.975, 0.001);
  EXPECT_EQ(changed_slices(volume), 1);
}

TEST_F(DicomCasesSeries, NoPixelSpacingIsRefusedAsGeometryIsUnknown) {
  EXPECT_EQ(code_of_refusal("no_pixel_spacing"), "no-geometry");
}

TEST_F(DicomCasesSeries, GantryTilt15degHeaderOnlyIsResampledAlongTheTrueAxes) {
  DicomSeries series = only("gantry_tilt_15deg_header_only");
  EXPECT_EQ(series.problems, Codes{"tilt"});
  const Volume volume = read_dicom_series(series);
  EXPECT_NEAR(volume.spacing_mm[2], 7.975 * std::cos(15 * M_PI / 180), 1e-2);
  EXPECT_GT(volume.hu.size(1), 64);
}

TEST_F(DicomCasesSeries, WrongModalityIsRefused) {
  EXPECT_TRUE(only("wrong_modality").has_problem("wrong-modality"));
  EXPECT_EQ(code_of_refusal("wrong_modality"), "wrong-modality");
}

TEST_F(DicomCasesSeries, MixedMatrixSizeDropsAndReportsTheOddSlices) {
  DicomSeries series = only("mixed_matrix_size");
  EXPECT_EQ(series.problems, (Codes{"mixed-size", "gap"}));
  const Volume volume = read_dicom_series(series);
  ASSERT_EQ(volume.size_dhw(), whole().size_dhw());
  EXPECT_EQ(changed_slices(volume), 1);
}

TEST_F(DicomCasesSeries, TwoSeriesOneFolderGivesOneByTheRuleAndNamesTheOther) {
  const auto all = scan_dicom_folder(folder("two_series_one_folder"));
  ASSERT_EQ(all.size(), 2u);
  const SeriesChoice choice = choose_series(all);
  ASSERT_TRUE(choice.index.has_value());
  EXPECT_EQ(choice.passed_over.size(), 1u);
  EXPECT_FALSE(choice.reason.empty());
  EXPECT_EQ(choose_ct_series(all, folder("two_series_one_folder")).uid, all[*choice.index].uid);
}

TEST_F(DicomCasesSeries, PerSliceSlopeInterceptIsAppliedPerSlice) {
  const Volume volume = read_volume(folder("per_slice_slope_intercept"));
  EXPECT_NEAR(volume.hu.min().item<float>(), -1007, 1);
  EXPECT_NEAR(volume.hu.max().item<float>(), 1046, 1);
  EXPECT_TRUE(only("per_slice_slope_intercept").problems.empty());
}

TEST_F(DicomCasesSeries, RleAndShuffledNamesNoExtAreAsTheSameSlicesElsewhere) {
  const Volume plain = read_volume(folder("per_slice_slope_intercept"));
  for (const char* name : {"rle", "shuffled_names_no_ext"}) {
    EXPECT_LT((plain.hu - read_volume(folder(name)).hu).abs().max().item<float>(), 1) << name;
    EXPECT_TRUE(only(name).problems.empty()) << name;
  }
}

class DicomCasesTransferSyntax : public testing::Test {
 protected:
  void SetUp() override { X2CTPA_NEEDS_REAL_DATA("dicom_cases/transfer_syntax"); }
  static fs::path folder() { return real_data("dicom_cases/transfer_syntax"); }
  // Root mean square difference to the uncompressed original in HU.
  static double rms(const fs::path& file, const char* original) {
    const auto difference = read_dicom_slice(file) - read_dicom_slice(folder() / original);
    return std::sqrt(difference.square().mean(torch::kDouble).item<double>());
  }
};

TEST_F(DicomCasesTransferSyntax, LosslessCopiesDecodeToEqualValues) {
  const auto plain = read_dicom_slice(folder() / "CTImage.dcm");
  EXPECT_EQ(plain.min().item<float>(), -3024);
  EXPECT_EQ(plain.max().item<float>(), 1378);
  EXPECT_NEAR(plain.mean().item<float>(), -949.1, 0.1);
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(folder())) {
    const auto name = entry.path().filename().string();
    for (const char* lossless : {"Deflated", "Process14SV1", "LittleEndianImplicit"})
      if (name.starts_with("CTImage.dcm_") && name.find(lossless) != std::string::npos) {
        EXPECT_TRUE(torch::equal(read_dicom_slice(entry.path()), plain)) << name;
        ++compared;
      }
  }
  EXPECT_EQ(compared, 3);
}

TEST_F(DicomCasesTransferSyntax, LossyCopiesDecodeToSimilarValuesOrGiveAReason) {
  // The 12-bit lossy JPEG processes hold 8 bits of these copies at best, hence the wide bound.
  for (const auto& entry : fs::directory_iterator(folder())) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with("CTImage.dcm_")) continue;
    try {
      EXPECT_LT(rms(entry.path(), "CTImage.dcm"), 120) << name;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  }
  EXPECT_LT(rms(folder() / "693_J2KI.dcm", "693_UNCI.dcm"), 15);
}

TEST_F(DicomCasesTransferSyntax, OddButLegalFilesDecode) {
  for (const char* name : {"D_CLUNIE_CT1_RLE_FRAGS.dcm", "J2K_pixelrep_mismatch.dcm",
                           "CT_Implicit_Little_Headless_Retired.dcm"}) {
    const auto hu = read_dicom_slice(folder() / name);
    EXPECT_GT(hu.std().item<float>(), 10) << name;
  }
}

TEST_F(DicomCasesTransferSyntax, ASingleImageIsNoVolume) {
  const DicomSeries series = scan_dicom_files({folder() / "CTImage.dcm"}).at(0);
  EXPECT_EQ(series.reason_code, "too-few-slices");
  EXPECT_EQ(series.size_dhw[0], 1);
}

// What the header says is wrong with each broken file; "" where only its series is too short.
TEST(DicomCasesBrokenFiles, EachHasAReasonCode) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases/broken_files");
  const std::map<std::string, std::string> expected = {{"CT_fodicom_GH178.dcm", "unreadable-file"},
                                                       {"CT_fodicom_GH179B.dcm", "unreadable-file"},
                                                       {"ExplVR_BigEnd.dcm", "wrong-modality"},
                                                       {"MR_truncated.dcm", "wrong-modality"},
                                                       {"badVR.dcm", "wrong-modality"},
                                                       {"eCT_Supplemental.dcm", "too-few-slices"},
                                                       {"explicit_VR-UN.dcm", "too-few-slices"},
                                                       {"no-pixel-data.dcm", "wrong-modality"},
                                                       {"no_meta.dcm", "unreadable-file"},
                                                       {"reportsi.dcm", "wrong-modality"}};
  for (const auto& [name, code] : expected) {
    const fs::path file = real_data("dicom_cases/broken_files") / name;
    ASSERT_TRUE(fs::exists(file)) << file;
    const auto series = scan_dicom_files({file});
    ASSERT_EQ(series.size(), 1u) << name;
    EXPECT_EQ(series[0].reason_code, code) << name << ": " << series[0].reason;
    EXPECT_FALSE(series[0].reason.empty()) << name;
    EXPECT_FALSE(choose_series(series).reason_code.empty()) << name;
  }
}

TEST(DicomCasesBrokenFiles, DecodingEachGivesPixelsOrAnErrorThatNamesTheFile) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases/broken_files");
  int refused = 0;
  for (const auto& entry : fs::directory_iterator(real_data("dicom_cases/broken_files"))) {
    const std::string name = entry.path().filename().string();
    try {
      EXPECT_GT(read_dicom_slice(entry.path()).numel(), 3) << name;
    } catch (const Error& e) {
      ++refused;
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  }
  EXPECT_GE(refused, 5);
}

}  // namespace
}  // namespace x2ctpa
