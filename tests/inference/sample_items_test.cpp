// Which volumes a run makes, and under which names.
#include "x2ctpa/inference/sample_items.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "support/dicom_bytes.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

std::vector<std::string> names_of(const std::vector<SampleItem>& samples) {
  std::vector<std::string> names;
  for (const auto& s : samples) names.push_back(s.name);
  return names;
}

using Names = std::vector<std::string>;

class SampleItems : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* file : {"b.png", "a.png", "clinic/a.png", "notes.txt"})
      write_file(folder_ / file, "x");
  }

  test::TemporaryFolder folder_;
};

TEST_F(SampleItems, AFolderGivesItsXraysInOrderWithUniqueNamesAndIdsOfTheFileAlone) {
  const auto xrays = xrays_in(folder_.path());
  ASSERT_EQ(xrays.size(), 3u);
  EXPECT_EQ(names_of(samples_of(xrays, 1, "", 0)), (Names{"a", "b", "clinic_a"}));
  EXPECT_EQ(xrays[2].id, "a");
}

TEST_F(SampleItems, AManifestGivesIdsPatientsAndReferenceCts) {
  write_file(folder_ / "list.csv",
             "id,cxr,ct,patient_id\none,a.png,ct.nii,P1\ntwo,clinic/a.png,,P2\nthree,,ct.nii,P3\n");
  const auto xrays = xrays_in(folder_ / "list.csv");
  ASSERT_EQ(xrays.size(), 2u);
  EXPECT_EQ(xrays[0].id, "one");
  EXPECT_EQ(xrays[0].reference, folder_ / "ct.nii");
  EXPECT_EQ(xrays[1].cxr, folder_ / "clinic/a.png");
  EXPECT_TRUE(xrays[1].reference.empty());
}

TEST_F(SampleItems, DicomIsKnownByContentAndWhatIsNoXrayIsToldInOneLine) {
  write_file(folder_ / "IM0001", test::dicom_xray().data_set(test::Syntax::implicit_little));
  write_file(folder_ / "1.2.840.5", test::dicom_xray().file());
  write_file(folder_ / "1.2.840.6", test::dicom_xray().file());
  for (int i = 0; i < 7; ++i) write_file(folder_ / fmt::format("report{}.pdf", i), "x");
  testing::internal::CaptureStderr();
  const auto xrays = xrays_in(folder_.path());
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(names_of(samples_of(xrays, 1, "", 0)),
            (Names{"1.2.840.5", "1.2.840.6", "IM0001", "a", "b", "clinic_a"}));
  EXPECT_EQ(xrays[0].id, "1.2.840.5");
  EXPECT_NE(told.find("8 files are passed over, no X-ray by name or content: notes.txt, "
                      "report0.pdf, report1.pdf, report2.pdf, report3.pdf, ..."),
            std::string::npos)
      << told;
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
}

// A CT slice: what tells it from an X-ray.
std::string ct_slice(int number) {
  return test::dicom_xray()
      .text(0x00080060, "CS", "CT")
      .text(0x00080018, "UI", fmt::format("1.2.3.7.{}", number))
      .text(0x0020000d, "UI", "1.2.3.7")
      .text(0x0020000e, "UI", "1.2.3.7.1")
      .file();
}

TEST_F(SampleItems, OfAFolderWithCtsBesideItsXraysOnlyTheseAreTaken) {
  const test::TemporaryFolder studies;
  for (const char* patient : {"p1", "p2"}) {
    for (int i = 0; i < 5; ++i)
      write_file(studies / fmt::format("{}/ct/{:03d}.dcm", patient, i), ct_slice(i));
    write_file(studies / fmt::format("{}/ct.nii.gz", patient), "x");
  }
  write_file(studies / "p1/film.dcm", test::dicom_xray().file());
  // Without ending and preamble, and with an ending that says nothing.
  write_file(studies / "p2/film", test::dicom_xray()
                                      .text(0x0020000e, "UI", "1.2.3.9.8")
                                      .data_set(test::Syntax::implicit_little));
  write_file(studies / "p2/film.v2", test::dicom_xray().text(0x0020000e, "UI", "1.2.3.9.9").file());
  write_file(studies / "p2/._film.png", "what macOS leaves");
  testing::internal::CaptureStderr();
  const auto xrays = xrays_in(studies.path());
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(names_of(samples_of(xrays, 1, "", 0)), (Names{"p1_film", "p2_film", "p2_film.v2"}));
  EXPECT_NE(told.find("12 files are passed over, 10 of CT or another modality (DICOM); 2 volumes"),
            std::string::npos)
      << told;
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
}

TEST_F(SampleItems, ADamagedDicomFileIsAnXrayToFailUnlessItLiesAmongSlices) {
  const test::TemporaryFolder studies;
  write_file(studies / "ct/1.dcm", ct_slice(1));
  write_file(studies / "ct/2.dcm", ct_slice(2).substr(0, 200));
  write_file(studies / "film.dcm", test::dicom_xray().file().substr(0, 200));
  const auto xrays = xrays_in(studies.path());
  EXPECT_EQ(names_of(samples_of(xrays, 1, "", 0)), (Names{"film"}));
}

TEST_F(SampleItems, NothingToReadIsNoData) {
  for (const auto& path : {folder_ / "absent", folder_ / "empty"}) {
    std::filesystem::create_directories(folder_ / "empty");
    try {
      xrays_in(path);
      FAIL() << path;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::no_data);
    }
  }
}

TEST_F(SampleItems, NamesFollowThePattern) {
  const auto xrays = xrays_in(folder_.path());
  EXPECT_EQ(names_of(samples_of({xrays[0]}, 3, "", 0)), (Names{"a_0", "a_1", "a_2"}));
  EXPECT_EQ(names_of(samples_of({xrays[2]}, 2, "{stem}-{id} s{seed}.{sample}", 7)),
            (Names{"a-a_s7.0", "a-a_s7.1"}));
}

TEST_F(SampleItems, APatternOfUnknownFieldsOrThatNamesTwoVolumesAlikeIsRefusedWithTheRemedy) {
  const auto xrays = xrays_in(folder_.path());
  const auto message = [&](int64_t n, const std::string& pattern) -> std::string {
    try {
      samples_of(xrays, n, pattern, 0);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message(1, "{stm}").find("{stem}"), std::string::npos);
  EXPECT_NE(message(1, "{stem").find("found"), std::string::npos);
  EXPECT_NE(message(1, "{stem}").find("add {unique}"), std::string::npos);
  EXPECT_NE(message(2, "{unique}").find("add {sample}"), std::string::npos);
}

TEST_F(SampleItems, TwoViewsOfAPatientAreOneItemForAModelOfBoth) {
  for (const char* file : {"two/p1_pa.png", "two/p1_lat.png", "two/p2.png", "two/p3_lateral.png"})
    write_file(folder_ / file, "x");
  EXPECT_EQ(xrays_in(folder_ / "two").size(), 4u);
  const auto xrays = xrays_in(folder_ / "two", CxrViews::both);
  ASSERT_EQ(xrays.size(), 3u);
  EXPECT_EQ(names_of(samples_of(xrays, 1, "", 0)), (Names{"p1_pa", "p2", "p3_lateral"}));
  EXPECT_EQ(xrays[0].id, "p1_pa");
  EXPECT_EQ(xrays[0].cxr_lateral, folder_ / "two/p1_lat.png");
  EXPECT_TRUE(xrays[1].cxr_lateral.empty());
  EXPECT_TRUE(xrays[2].cxr.empty());

  EXPECT_EQ(with_views(xrays, ViewSet::both).size(), 1u);
  EXPECT_EQ(with_views(xrays, ViewSet::frontal).size(), 2u);
  const auto lateral = with_views(xrays, ViewSet::lateral);
  ASSERT_EQ(lateral.size(), 2u);
  EXPECT_EQ(lateral[0].id, "p1_pa");  // its noise stays that of the patient
  EXPECT_TRUE(lateral[0].cxr.empty());

  write_file(folder_ / "two.csv", "id,cxr,cxr_lateral\none,a.png,b.png\ntwo,,b.png\n");
  EXPECT_EQ(xrays_in(folder_ / "two.csv").size(), 1u);
  const auto rows = xrays_in(folder_ / "two.csv", CxrViews::both);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].cxr_lateral, folder_ / "b.png");
}

}  // namespace
}  // namespace x2ctpa
