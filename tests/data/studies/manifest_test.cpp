#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "x2ctpa/data/studies/manifest.h"

#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

std::vector<Study> studies_in(const TemporaryFolder& folder, const std::string& text) {
  write_file(folder / "manifest.csv", text);
  return read_manifest(folder / "manifest.csv");
}

void put_volume(const fs::path& file) { write_nifti({torch::zeros({3, 3, 3})}, file, "test"); }
void put_picture(const fs::path& file) { write_png16(test::picture(4, 0), file); }

TEST(Manifest, EveryColumnIsRead) {
  TemporaryFolder folder;
  const auto studies =
      studies_in(folder,
                 "id,patient_id,ct,cxr,pe,split,cxr_centre_x_mm,cxr_centre_y_mm,cxr_centre_z_mm\n"
                 "s1,p1,a/ct,/abs/x.dcm,1,test,1.5,-2,3e1\n"
                 "s2,p1,a/../b.nii,,unknown,,,,\n");
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].ct, folder / "a/ct");
  EXPECT_EQ(studies[0].cxr, fs::path("/abs/x.dcm"));
  EXPECT_EQ(studies[0].pe, 1);
  EXPECT_EQ(studies[0].split, "test");
  EXPECT_EQ(studies[0].cxr_centre_mm, (Vec3{1.5, -2, 30}));
  EXPECT_EQ(studies[1].ct, folder / "b.nii");
  EXPECT_TRUE(studies[1].cxr.empty());
  EXPECT_FALSE(studies[1].pe.has_value());
  EXPECT_FALSE(studies[1].cxr_centre_mm.has_value());
}

TEST(Manifest, NamesMasksByTheirKinds) {
  TemporaryFolder folder;
  const auto studies = studies_in(folder,
                                  "ct,lung_mask,artery_mask,embolus_mask,heart_mask\n"
                                  "a.nii,a/lung.nii.gz,,/abs/clot.nii,h.nii\n");
  ASSERT_EQ(studies[0].masks.size(), 2u);
  EXPECT_EQ(studies[0].masks.at("lung"), folder / "a/lung.nii.gz");
  EXPECT_EQ(studies[0].masks.at("embolus"), fs::path("/abs/clot.nii"));
  EXPECT_TRUE(studies[0].mask.empty()) << "they are not the mask that the grid is laid around";
}

TEST(Manifest, IdsAreMadeFromThePatientAndAreUnique) {
  TemporaryFolder folder;
  const auto studies =
      studies_in(folder, "patient_id,ct,pe\np 1,a.nii,1.0\np 1,b.nii,0.0\n,c/d.nii,\n");
  EXPECT_EQ(studies[0].id, "p_1");
  EXPECT_EQ(studies[1].id, "p_1-2");
  EXPECT_EQ(studies[1].patient_id, "p 1");
  EXPECT_EQ(studies[1].pe, 0);
  EXPECT_EQ(studies[2].id, "d");
  EXPECT_EQ(studies[2].patient_id, "d");
}

TEST(Manifest, DoubtfulValuesNameRowColumnAndValue) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    return error_of([&] { studies_in(folder, text); });
  };
  EXPECT_CONTAINS(message("ct,pe\na,2\n"), "pe must be 0, 1, empty or unknown, found '2'");
  EXPECT_CONTAINS(message("ct,split\na,train\nb,dev\n"), "row 2: split");
  EXPECT_CONTAINS(message("id,ct\nx,a\nx,b\n"), "unique");
  EXPECT_CONTAINS(message("id,ct\n../x,a\n"), "../x");
  EXPECT_CONTAINS(message("ct,cxr_centre_x_mm\na,1\n"), "together");
  EXPECT_CONTAINS(message("patient_id,cct\na,1\n"), "ct");
}

// What the manifest says on stderr while it is read.
std::string told_of(const std::string& text) {
  TemporaryFolder folder;
  testing::internal::CaptureStderr();
  studies_in(folder, text);
  return testing::internal::GetCapturedStderr();
}

TEST(Manifest, ColumnsAreTakenWhateverTheirCase) {
  TemporaryFolder folder;
  for (const char* header : {"ID,CT,CXR,PE", "id,ct,cxr,PE", "Id;Ct;Cxr;Pe"}) {
    std::string row = "a,a.nii,x.png,1";
    if (std::string(header).find(';') != std::string::npos)
      std::replace(row.begin(), row.end(), ',', ';');
    const auto studies = studies_in(folder, std::string(header) + "\n" + row + "\n");
    ASSERT_EQ(studies.size(), 1u) << header;
    EXPECT_EQ(studies[0].id, "a");
    EXPECT_EQ(studies[0].cxr, folder / "x.png");
    EXPECT_EQ(studies[0].pe, 1) << header;
  }
}

TEST(Manifest, AColumnThatIsNearlyOneIsNamedAndOthersListedOnce) {
  const std::string told = told_of(
      "id,cxr,Label,patient,sets,age,site\na,x.png,1,p,train,50,B\nb,x.png,0,p,train,40,B\n");
  for (const char* part : {"\"Label\" is not read; if it is \"pe\"",
                           "\"patient\" is not read; if it is \"patient_id\"",
                           "columns that are not read: sets, age, site"})
    EXPECT_CONTAINS(told, part);
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 2) << told;
  EXPECT_EQ(told_of("id,cxr,pe\na,x.png,1\n"), "");
}

TEST(Manifest, WithoutImagesTheColumnsThatMayHoldThemAreNamed) {
  TemporaryFolder folder;
  const std::string message = error_of([&] { studies_in(folder, "id,CT path,PE\na,a.nii,1\n"); });
  EXPECT_CONTAINS(message, "needs a column ct or cxr");
  EXPECT_CONTAINS(message, "\"CT path\" is not read; if it is \"ct\"");
}

TEST(FindStudies, AFolderWithOneCtAndOneXrayIsAPair) {
  TemporaryFolder folder;
  for (const char* patient : {"p1", "p2"}) {
    put_volume(folder / patient / "ct.nii.gz");
    put_picture(folder / patient / "film" / "x.png");
  }
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].id, "p1");
  EXPECT_EQ(studies[0].ct.filename(), "ct.nii.gz");
  EXPECT_EQ(studies[0].cxr.filename(), "x.png");
  EXPECT_EQ(studies[1].patient_id, "p2");
}

TEST(FindStudies, WhatCannotBePairedIsAStudyOfItsOwnAndStaysWithItsPatient) {
  TemporaryFolder folder;
  put_volume(folder / "p1" / "a" / "one.nii");
  put_volume(folder / "p1" / "b" / "two.nrrd.nii");
  put_picture(folder / "p1" / "x.png");
  put_picture(folder / "loose.png");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 4u);
  std::set<std::string> ids;
  for (const Study& s : studies) {
    ids.insert(s.id);
    EXPECT_EQ(safe_id(s.id), s.id);
    if (s.id != "loose") {
      EXPECT_EQ(s.patient_id, "p1") << s.id;
    }
  }
  EXPECT_EQ(ids.size(), 4u);
}

TEST(FindStudies, AManifestInTheFolderWins) {
  TemporaryFolder folder;
  put_volume(folder / "unlisted.nii");
  write_file(folder / "manifest.csv", "id,ct\nlisted,other.nii\n");
  const auto studies = read_inputs({folder.path()});
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_EQ(studies[0].id, "listed");
}

TEST(ReadInputs, IdsAreUniqueAcrossInputs) {
  TemporaryFolder folder;
  put_volume(folder / "a" / "scan.nii");
  put_volume(folder / "b" / "scan.nii.gz");
  const auto studies = read_inputs({folder / "a/scan.nii", folder / "b/scan.nii.gz"});
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].id, "scan");
  EXPECT_EQ(studies[1].id, "scan-2");
  EXPECT_EQ(studies[1].patient_id, "scan-2");
}

TEST(ReadInputs, AMissingOrEmptyInputIsNoUsableData) {
  TemporaryFolder folder;
  for (const fs::path& input : {folder / "absent", folder.path()}) {
    try {
      read_inputs({input});
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::no_data);
      EXPECT_CONTAINS(e.what(), input.string());
    }
  }
}

TEST(SafeId, LettersOfOtherAlphabetsStayReadable) {
  EXPECT_EQ(safe_id("ä röntgen 1"), "ae_roentgen_1");
  EXPECT_EQ(safe_id("a\xCC\x88 ro\xCC\x88ntgen"), "ae_roentgen") << "as macOS writes umlauts";
  EXPECT_EQ(safe_id("Łódź Übung Straße"), "Lodz_Uebung_Strasse");
  EXPECT_EQ(safe_id("Снимок 7"), "Snimok_7");
}

TEST(SafeId, NamesOfOtherScriptsAndEncodingsStayDistinct) {
  EXPECT_EQ(safe_id("胸部"), "u80F8u90E8");
  EXPECT_EQ(safe_id("肺部 2"), "u80BAu90E8_2");
  EXPECT_EQ(safe_id("😀"), "u1F600");
  EXPECT_EQ(safe_id("r\xF6ntgen"), "rxF6ntgen") << "a byte that is no UTF-8";
  EXPECT_EQ(safe_id("a–b　c±"), "a_b_c_") << "signs are no letters";
}

TEST(SafeId, CannotLeaveTheFolderOrHide) {
  EXPECT_EQ(safe_id("../a b"), "_.._a_b");
  EXPECT_EQ(safe_id("-x"), "_-x");
  EXPECT_EQ(safe_id(""), "_");
  EXPECT_EQ(safe_id("LIDC-IDRI-0001_2mm.v1"), "LIDC-IDRI-0001_2mm.v1");
}

TEST(SafeId, LongNamesAreCutAndStayDistinct) {
  const std::string fits(longest_id, 'a'), same = std::string(5000, 'b');
  EXPECT_EQ(safe_id(fits), fits);
  EXPECT_EQ(safe_id(same).size(), longest_id);
  EXPECT_NE(safe_id(same + "1"), safe_id(same + "2"));
  EXPECT_EQ(safe_id(safe_id(same)), safe_id(same));
  EXPECT_LE(safe_id(std::string(150, 'a') + ".nii" + std::string(900, 'x')).size(), longest_id);
}

TEST(HostileManifest, IdsThatAreNoNamesOfFilesAreRefusedWithTheirRow) {
  TemporaryFolder folder;
  for (const std::string id : {"\"a\nb\"", "..", "../x", "/tmp/x", "a/b", "a\\b", "=1+1", "-x",
                               ".x", "\"a\rb\"", "<script>", "a b", "scan.nii"}) {
    EXPECT_CONTAINS(error_of([&] { studies_in(folder, "id,ct\n" + id + ",a.nii\n"); }), "row 1")
        << id;
  }
  const std::string nul("id,ct\na\0b,a.nii\n", 16);
  EXPECT_CONTAINS(error_of([&] { studies_in(folder, nul); }), "row 1");
  EXPECT_CONTAINS(
      error_of([&] { studies_in(folder, "id,ct\n" + std::string(4096, 'a') + ",a.nii\n"); }),
      "at most 160");
}

TEST(HostileManifest, PatientsGetIdsThatStayInTheFolder) {
  TemporaryFolder folder;
  const std::string hostile[] = {"\"../../x\n\"",
                                 "..",
                                 "<script>alert(1)</script>",
                                 "=cmd|'a'!A0",
                                 std::string(4096, 'p'),
                                 std::string("a\0b", 3)};
  for (const std::string& patient : hostile) {
    const auto studies = studies_in(folder, "patient_id,ct\n" + patient + ",a.nii\n");
    const std::string& id = studies.at(0).id;
    EXPECT_EQ(safe_id(id), id);
    EXPECT_EQ(fs::path(id).filename().string(), id);
    EXPECT_LE(id.size(), longest_id);
  }
}

}  // namespace
}  // namespace x2ctpa
