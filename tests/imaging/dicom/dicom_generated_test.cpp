// CT series made in the test, with faults of other kinds than the real cases have.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "support/dicom_bytes.h"
#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "support/test_volumes.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

using namespace test;
using Codes = std::vector<std::string>;

// 12 slices whose HU tell where each voxel lies, within rounding.
CtMaker maker(const Mat3& direction = rotation(0)) {
  CtMaker ct{linear_field(direction, {12, 9, 10})};
  return ct;
}

DicomSeries only_series(const TemporaryFolder& folder) {
  const auto all = scan_dicom_folder(folder.path());
  EXPECT_EQ(all.size(), 1u);
  return all.at(0);
}

// The largest distance in HU of any voxel from what its place should hold; rounding is 0.5.
double error_of(const TemporaryFolder& folder) {
  return error_of_linear_field(oriented_to_lps(read_volume(folder.path())));
}

TEST(DicomGenerated, EveryByteOrderAndVrKindReadsAlike) {
  for (const Syntax syntax :
       {Syntax::implicit_little, Syntax::explicit_little, Syntax::explicit_big}) {
    const TemporaryFolder folder;
    maker(rotation(10)).write(folder.path(), {}, syntax);
    EXPECT_LT(error_of(folder), 0.51) << int(syntax);
    EXPECT_TRUE(only_series(folder).problems.empty()) << int(syntax);
  }
}

TEST(DicomGenerated, FlippedOrientationsKeepEveryVoxelInItsPlace) {
  // Prone, feet first, and both: rows or columns or slices run the other way.
  for (const Mat3& direction :
       {Mat3{{{-1, 0, 0}, {0, -1, 0}, {0, 0, 1}}}, Mat3{{{-1, 0, 0}, {0, 1, 0}, {0, 0, -1}}},
        Mat3{{{1, 0, 0}, {0, -1, 0}, {0, 0, -1}}}}) {
    const TemporaryFolder folder;
    maker(direction).write(folder.path());
    EXPECT_LT(error_of(folder), 0.51);
    const Volume volume = oriented_to_lps(read_volume(folder.path()));
    for (int a = 0; a < 3; ++a) EXPECT_GT(volume.direction[a][a], 0.99);
  }
}

TEST(DicomGenerated, UselessInstanceNumbersDoNotMatter) {
  const TemporaryFolder folder;
  maker().write(folder.path(), [](int64_t k, DicomBytes& d) {
    if (k % 3 == 0)
      d.remove(0x00200013);
    else
      d.text(0x00200013, "IS", k % 3 == 1 ? "7" : "not a number");
    return true;
  });
  EXPECT_LT(error_of(folder), 0.51);
  EXPECT_TRUE(only_series(folder).problems.empty());
}

TEST(DicomGenerated, ASliceWithoutPositionIsReportedAndFilled) {
  const TemporaryFolder folder;
  maker().write(folder.path(), [](int64_t k, DicomBytes& d) {
    if (k == 5) d.remove(0x00200032);
    return true;
  });
  EXPECT_EQ(only_series(folder).problems, (Codes{"no-geometry", "gap"}));
  EXPECT_LT(error_of(folder), 0.6);
}

TEST(DicomGenerated, PositionsThatAreAllAbsentOrAllTheSameAreRefused) {
  const TemporaryFolder absent, same;
  maker().write(absent.path(), [](int64_t, DicomBytes& d) { return d.remove(0x00200032), true; });
  maker().write(same.path(), [](int64_t, DicomBytes& d) {
    return d.numbers(0x00200032, {0, 0, 0}), true;
  });
  EXPECT_EQ(only_series(absent).reason_code, "no-geometry");
  EXPECT_EQ(only_series(same).reason_code, "too-few-slices");
  EXPECT_TRUE(only_series(same).has_problem("duplicate-position"));
}

TEST(DicomGenerated, ASingleSliceIsNoVolume) {
  const TemporaryFolder folder;
  maker().write(folder.path(), [](int64_t k, DicomBytes&) { return k == 3; });
  EXPECT_EQ(only_series(folder).reason_code, "too-few-slices");
  EXPECT_THROW(read_volume(folder.path()), SeriesError);
}

TEST(DicomGenerated, IrregularSpacingIsResampledFromTruePositions) {
  const TemporaryFolder folder;
  CtMaker ct = maker();
  const Volume even = ct.volume;
  // Slice k lies up to 0.3 of a distance above its even place, and holds what lies there.
  const auto shift = [](int64_t k) { return 0.3 * double(k * 7 % 5) / 4; };
  for (int64_t k = 0; k < 12; ++k) {
    for (int64_t j = 0; j < 9; ++j)
      for (int64_t i = 0; i < 10; ++i)
        ct.volume.hu[k][j][i] =
            linear_value(even.point({double(i), double(j), double(k) + shift(k)}));
  }
  ct.write(folder.path(), [&](int64_t k, DicomBytes& d) {
    const Vec3 p = even.point({0, 0, double(k) + shift(k)});
    return d.numbers(0x00200032, {p[0], p[1], p[2]}), true;
  });
  EXPECT_TRUE(only_series(folder).has_problem("uneven-spacing"));
  EXPECT_LT(error_of(folder), 0.51);
}

TEST(DicomGenerated, CoronalAndSagittalReformatsAreReadButNotChosen) {
  const Mat3 coronal{{{1, 0, 0}, {0, 0, 1}, {0, -1, 0}}},
      sagittal{{{0, 0, 1}, {1, 0, 0}, {0, -1, 0}}};
  for (const Mat3& direction : {coronal, sagittal}) {
    const TemporaryFolder folder;
    CtMaker ct = maker(direction);
    ct.write(folder.path());
    DicomSeries series = only_series(folder);
    EXPECT_TRUE(series.readable());
    EXPECT_FALSE(series.axial());
    EXPECT_LT(error_of_linear_field(read_dicom_series(series)), 0.51);
    EXPECT_EQ(choose_series({series}).reason_code, "not-axial");
    CtMaker axial = maker();
    axial.series_uid = "1.2.3.9";
    axial.write(folder.path(), [](int64_t k, DicomBytes&) { return k > 3; });
    const auto all = scan_dicom_folder(folder.path());
    EXPECT_EQ(choose_ct_series(all, folder.path()).uid, "1.2.3.9");
  }
}

TEST(DicomGenerated, ScoutsAndSecondaryCapturesWithinASeriesAreDropped) {
  const TemporaryFolder folder;
  CtMaker scout = maker(Mat3{{{1, 0, 0}, {0, 0, 1}, {0, -1, 0}}});
  scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
  maker().write(folder.path() / "ct");
  scout.write(folder.path() / "scout", [](int64_t k, DicomBytes&) { return k == 0; });
  maker().write(folder.path() / "screen", [](int64_t k, DicomBytes& d) {
    d.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7").remove(0x00200032);
    return k == 0;
  });
  const DicomSeries series = only_series(folder);
  EXPECT_EQ(series.problems, (Codes{"secondary-capture", "localizer"}));
  EXPECT_EQ(series.files.size(), 12u);
  EXPECT_LT(error_of(folder), 0.51);
}

TEST(DicomGenerated, ASeriesOfScoutsAloneIsRefusedAsSuch) {
  const TemporaryFolder folder;
  CtMaker scout = maker();
  scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
  scout.write(folder.path(), [](int64_t k, DicomBytes&) { return k < 2; });
  EXPECT_EQ(only_series(folder).reason_code, "localizer");
}

TEST(DicomGenerated, EmptyAndTextFilesBesideASeriesDoNoHarm) {
  const TemporaryFolder folder;
  maker().write(folder.path());
  write_file(folder / "empty", "");
  write_file(folder / "readme.txt", "hello");
  write_file(folder / "LICENSE", std::string(5000, 'x'));
  EXPECT_EQ(scan_dicom_folder(folder.path()).size(), 1u);
  write_file(folder / "empty.dcm", "");
  write_file(folder / "text.dcm", "hello");
  const auto all = scan_dicom_folder(folder.path());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].reason_code, "unreadable-file");
  const DicomSeries chosen = choose_ct_series(all, folder.path());
  EXPECT_EQ(chosen.problems, Codes{"unreadable-file"});
  EXPECT_LT(error_of(folder), 0.51);
}

TEST(DicomGenerated, EnhancedMultiFrameCtIsReadByThePlacesOfItsFrames) {
  const TemporaryFolder folder;
  write_file(folder / "enhanced.dcm",
             maker(rotation(8)).enhanced({4, 0, 11, 2, 3, 1, 5, 10, 7, 6, 9, 8}).file());
  const DicomSeries series = only_series(folder);
  EXPECT_TRUE(series.problems.empty()) << series.reason;
  EXPECT_EQ(series.files.size(), 12u);
  EXPECT_EQ(series.frames[2], 3);
  EXPECT_LT(error_of(folder), 0.51);
}

TEST(DicomGenerated, MultiFrameWithoutPlacesOfItsFramesIsRefused) {
  const TemporaryFolder folder;
  write_file(folder / "frames.dcm", maker().enhanced({0, 1, 2, 3}).remove(0x52009230).file());
  EXPECT_EQ(only_series(folder).reason_code, "multi-frame");
  // Such files once ended the process while their pixels were read.
  EXPECT_EQ(read_dicom_slice(folder / "frames.dcm").size(0), 9);
}

TEST(DicomGenerated, PaddingAndWhatLiesOutsideTheFieldOfViewBecomeAir) {
  const TemporaryFolder folder;
  CtMaker ct = maker();
  ct.intercept = -4096;
  ct.volume.hu.slice(2, 0, 2).fill_(-3024);  // outside, undeclared
  ct.volume.hu.slice(2, 2, 4).fill_(4000);   // declared as padding
  ct.write(folder.path(),
           [](int64_t, DicomBytes& d) { return d.words(0x00280120, "SS", {8096}), true; });
  const Volume volume = read_volume(folder.path());
  EXPECT_EQ(volume.hu.slice(2, 0, 4).max().item<float>(), -1024);
  EXPECT_EQ(volume.hu.slice(2, 4, 10).min().item<float>(),
            ct.volume.hu.slice(2, 4, 10).round().min().item<float>());
}

TEST(DicomGenerated, AMissingRescaleIsReported) {
  const TemporaryFolder folder;
  maker().write(folder.path(), [](int64_t, DicomBytes& d) { return d.remove(0x00281052), true; });
  EXPECT_EQ(only_series(folder).problems, Codes{"no-rescale"});
}

TEST(DicomGenerated, FewerBytesThanThePixelsNeedAreAMissingSlice) {
  const TemporaryFolder folder;
  maker().write(folder.path(), [](int64_t k, DicomBytes& d) {
    if (k == 4) d.words(0x7FE00010, "OW", std::vector<uint16_t>(20));
    return true;
  });
  EXPECT_EQ(only_series(folder).problems, (Codes{"unreadable-file", "gap"}));
  EXPECT_LT(error_of(folder), 0.6);
}

class SeriesChoiceRule : public testing::Test {
 protected:
  // Adds a series of `slices` slices; later edits of the tags go through `edit`.
  void add(const std::string& uid, const std::string& description, int64_t slices,
           const std::function<void(DicomBytes&)>& edit = {}) {
    CtMaker ct = maker();
    ct.series_uid = uid;
    ct.description = description;
    ct.write(folder_.path(), [&](int64_t k, DicomBytes& d) {
      if (edit) edit(d);
      return k < slices;
    });
  }
  std::string chosen(const SeriesRule& rule = {}) {
    const auto all = scan_dicom_folder(folder_.path());
    const SeriesChoice choice = choose_series(all, rule);
    passed_over_ = choice.passed_over;
    return choice.index ? all[*choice.index].uid : "none";
  }
  TemporaryFolder folder_;
  std::vector<std::string> passed_over_;
};

TEST_F(SeriesChoiceRule, WordsForCtpaWinOverMoreSlices) {
  add("1.1", "Thorax nativ 1.0", 12);
  add("1.2", "PE 1.0 Bv40", 11);
  add("1.3", "aspect", 12);
  EXPECT_EQ(chosen(), "1.2");
  ASSERT_EQ(passed_over_.size(), 2u);
  EXPECT_NE(passed_over_[0].find("fits better by its description"), std::string::npos)
      << passed_over_[0];
}

TEST_F(SeriesChoiceRule, AShortSeriesWithTheRightWordsDoesNotWin) {
  add("1.1", "Thorax 1.0", 12);
  add("1.2", "CTPA test", 5);
  EXPECT_EQ(chosen(), "1.1");
}

TEST_F(SeriesChoiceRule, OriginalWinsOverDerivedAndMipLoses) {
  add("1.1", "CTPA", 12,
      [](DicomBytes& d) { d.text(0x00080008, "CS", "DERIVED\\SECONDARY\\AXIAL"); });
  add("1.2", "CTPA", 11);
  add("1.3", "CTPA MIP 10mm", 12);
  EXPECT_EQ(chosen(), "1.2");
}

TEST_F(SeriesChoiceRule, ContrastThenSlicesThenKernelDecideAmongEquals) {
  add("1.1", "Thorax", 12);
  add("1.2", "Thorax", 10, [](DicomBytes& d) { d.text(0x00180010, "LO", "Iomeron"); });
  EXPECT_EQ(chosen(), "1.2");
  add("1.3", "Thorax", 11,
      [](DicomBytes& d) { d.text(0x00180010, "LO", "x").text(0x00181210, "SH", "B70f"); });
  EXPECT_EQ(chosen(), "1.3");
  add("1.4", "Thorax", 11,
      [](DicomBytes& d) { d.text(0x00180010, "LO", "x").text(0x00181210, "SH", "B30f"); });
  EXPECT_EQ(chosen(), "1.4");
}

TEST_F(SeriesChoiceRule, TheOrderAndWordsAreOptions) {
  add("1.1", "Thorax nativ", 12);
  add("1.2", "CTPA", 11);
  SeriesRule rule;
  rule.order = {"slices"};
  EXPECT_EQ(chosen(rule), "1.1");
  rule = {};
  rule.prefer = {"nativ"};
  EXPECT_EQ(chosen(rule), "1.1");
  rule.order = {"luck"};
  EXPECT_THROW(chosen(rule), Error);
}

}  // namespace
}  // namespace x2ctpa
