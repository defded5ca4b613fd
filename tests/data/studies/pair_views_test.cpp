// Which lateral X-ray goes with which frontal one.
#include "x2ctpa/data/studies/pair_views.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::TemporaryFolder;
using Pairs = std::map<size_t, size_t>;

ViewedXray by_header(const std::string& patient, const std::string& study, double hours,
                     bool lateral) {
  return {"f/" + patient, "f", lateral, patient, study, hours * 3600};
}

TEST(PairViews, TakesTheStudyOfThePatientThenTheNearestInTimeAndNoneTwice) {
  const std::vector<ViewedXray> xrays{by_header("A", "1", 0, false),  by_header("A", "2", 5, false),
                                      by_header("A", "1", 4, true),   by_header("B", "3", 0, true),
                                      by_header("A", "9", 5.5, true), by_header("A", "1", 1, true)};
  // The two of study 1 want the first; the nearer one gets it.
  EXPECT_EQ(laterals_of(xrays, 24), (Pairs{{0, 5}, {1, 4}}));
  EXPECT_EQ(laterals_of(xrays, 0.4), Pairs{});
}

TEST(PairViews, GoesByNameThenByFolderWhereHeadersNameNoPatient) {
  const auto at = [](const std::string& file, bool lateral) {
    return ViewedXray{file, fs::path(file).parent_path(), lateral, {}, {}, {}};
  };
  const std::vector<ViewedXray> xrays{at("a/p1_pa.png", false),     at("a/p2.png", false),
                                      at("a/p2_lateral.png", true), at("a/p1_lat.png", true),
                                      at("a/p3_lat.png", true),     at("b/front.png", false),
                                      at("b/side_ll.png", true)};
  EXPECT_EQ(laterals_of(xrays, 24), (Pairs{{0, 3}, {1, 2}, {5, 6}}));
}

TEST(PairViews, FilesOfAFolderBecomePatientsAndALoneLateralIsCounted) {
  TemporaryFolder folder;
  for (const char* name : {"p1_pa.png", "p1_lat.png", "p2.png", "p3_lateral.png"})
    write_png16(test::picture(16, 1), folder / name);
  testing::internal::CaptureStderr();
  const auto patients = pair_view_files(
      {folder / "p1_lat.png", folder / "p1_pa.png", folder / "p2.png", folder / "p3_lateral.png"});
  const std::string told = testing::internal::GetCapturedStderr();
  ASSERT_EQ(patients.size(), 3u);
  EXPECT_EQ(patients[0].frontal.filename(), "p1_pa.png");
  EXPECT_EQ(patients[0].lateral.filename(), "p1_lat.png");
  EXPECT_TRUE(patients[1].lateral.empty());
  EXPECT_TRUE(patients[2].frontal.empty());
  EXPECT_CONTAINS(told, "1 lateral X-ray found no frontal one");
}

void write_film(const fs::path& file, const std::string& patient, CxrView view) {
  CxrTags tags;
  tags.patient_id = patient;
  tags.view = view;
  tags.uid_seed = std::hash<std::string>()(patient);
  write_cxr(test::picture(32, 2), file, tags);
}

TEST(FindTwoViews, JoinsLateralsToStudiesOnlyWhereBothViewsAreWanted) {
  TemporaryFolder folder;
  write_film(folder / "x/1.dcm", "A", CxrView::frontal);
  write_film(folder / "x/2.dcm", "A", CxrView::lateral);
  write_film(folder / "x/3.dcm", "B", CxrView::frontal);
  write_film(folder / "x/4.dcm", "C", CxrView::lateral);
  EXPECT_EQ(find_studies(folder.path()).size(), 4u);
  InputOptions both;
  both.views = CxrViews::both;
  const auto studies = find_studies(folder.path(), both);
  ASSERT_EQ(studies.size(), 3u);
  EXPECT_EQ(studies[0].cxr.filename(), "1.dcm");
  EXPECT_EQ(studies[0].cxr_lateral.filename(), "2.dcm");
  EXPECT_TRUE(studies[1].cxr_lateral.empty());
  EXPECT_TRUE(studies[2].cxr.empty());
  EXPECT_EQ(studies[2].cxr_lateral.filename(), "4.dcm");
}

TEST(ManifestOfTwoViews, NamesTheLateralXrayInItsOwnColumn) {
  TemporaryFolder folder;
  write_file(folder / "m.csv", "id,cxr,cxr_lateral\na,f.png,l.png\nb,,l2.png\n");
  const auto studies = read_manifest(folder / "m.csv");
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].cxr_lateral, folder / "l.png");
  EXPECT_TRUE(studies[1].cxr.empty());
  EXPECT_EQ(studies[1].cxr_lateral, folder / "l2.png");
}

}  // namespace
}  // namespace x2ctpa
