#include "x2ctpa/data/check/check.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/dicom/dicom_write.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/phantom/phantom.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

PreprocessOptions small_options() {
  PreprocessOptions options;
  options.grid = {12, 20, 24};
  options.cxr_size = 16;
  options.workers = 2;
  return options;
}

// The findings of a code, of the set and of every study.
std::vector<Finding> found(const CheckReport& report, const std::string& code) {
  std::vector<Finding> all = report.findings;
  for (const StudyCheck& study : report.studies)
    all.insert(all.end(), study.findings.begin(), study.findings.end());
  std::erase_if(all, [&](const Finding& f) { return f.code != code; });
  return all;
}

// A report of one volume.
CheckReport check_volume(const Volume& volume, PreprocessOptions options = small_options()) {
  TemporaryFolder folder;
  write_nifti(volume, folder / "v.nii", "test", false);
  return check_studies(read_inputs({folder / "v.nii"}), options);
}

// A simulated scan, small.
Volume phantom(int64_t index = 0) {
  PhantomOptions options;
  options.ct_size = 64;
  options.slices = 72;
  options.oblique_fraction = 0;
  return make_phantom(options, 3, index).ct;
}

TEST(Check, AGoodScanGivesFactsAndNoWarning) {
  const Volume scan = phantom();
  const CheckReport report = check_volume(scan);
  ASSERT_EQ(report.studies.size(), 1u);
  const StudyCheck& study = report.studies[0];
  EXPECT_TRUE(study.usable());
  for (const Finding& f : study.findings) {
    // The simulated scans end just below the lungs.
    if (f.code != "lungs-cut-off") {
      EXPECT_EQ(f.severity, Severity::info) << f.code << f.what;
    }
  }
  ASSERT_TRUE(study.ct.has_value());
  EXPECT_EQ(study.ct->size_dhw, scan.size_dhw());
  ASSERT_TRUE(study.ct->air_hu.has_value());
  EXPECT_NEAR(*study.ct->air_hu, -1000, 15);
  EXPECT_GT(study.ct->lung_litres, 1);
  EXPECT_FALSE(study.pictures[0].empty());
  EXPECT_FALSE(study.pictures[1].empty());
  EXPECT_TRUE(study.pictures[2].empty());
}

TEST(Check, TheContrastEstimateFollowsTheTrueContrast) {
  PhantomOptions options;
  options.ct_size = 64;
  options.slices = 72;
  double sum = 0;
  constexpr int patients = 6;
  for (int64_t i = 0; i < patients; ++i) {
    const Phantom patient = make_phantom(options, 3, i);
    const CheckReport report = check_volume(patient.ct);
    ASSERT_TRUE(report.studies[0].ct->contrast_hu.has_value());
    const double truth = std::max(patient.truth.main_pa_hu, patient.truth.aorta_hu);
    sum += std::abs(*report.studies[0].ct->contrast_hu - truth);
    EXPECT_GT(*report.studies[0].ct->contrast_hu, 150) << i;
    // The same patient without contrast: blood as soft tissue is.
    Volume plain = patient.ct;
    plain.hu = torch::where(plain.hu > 80, torch::full_like(plain.hu, 45), plain.hu);
    EXPECT_LT(*check_volume(plain).studies[0].ct->contrast_hu, 93) << i;
  }
  EXPECT_LT(sum / patients, 65);
}

TEST(Check, TurnedAnatomyIsSeenAndAStraightOneIsNot) {
  const char* codes[] = {"upside-down", "back-to-front", "mirrored"};
  std::array<int, 3> seen{};
  constexpr int patients = 6;
  for (int64_t i = 0; i < patients; ++i) {
    const Volume scan = phantom(i);
    for (const char* code : codes) EXPECT_TRUE(found(check_volume(scan), code).empty()) << code;
    for (int64_t axis = 0; axis < 3; ++axis) {
      Volume turned = scan;
      turned.hu = scan.hu.flip(axis).contiguous();
      const CheckReport report = check_volume(turned);
      // Lungs are found from the trachea down, so upside down there may be none.
      seen[size_t(axis)] +=
          !found(report, codes[axis]).empty() || !found(report, "no-lungs").empty();
    }
  }
  EXPECT_EQ(seen[1], patients);
  // A heart in the middle between equal lungs tells nothing, and a scan that ends soon above and
  // below them little.
  EXPECT_GE(seen[2], 2);
  EXPECT_GE(seen[0], 4);
}

TEST(Check, SidesThatADicomHeaderTellsAreARemarkAndThoseOfAConvertedFileAWarning) {
  TemporaryFolder folder;
  int seen = 0;
  for (int64_t i = 0; i < 6; ++i) {
    Volume mirrored = phantom(i);
    mirrored.hu = mirrored.hu.flip(2).contiguous();
    const auto of_file = found(check_volume(mirrored), "mirrored");
    if (of_file.empty()) continue;  // the heart lies in the middle
    ++seen;
    EXPECT_EQ(of_file[0].severity, Severity::warning);
    const fs::path series = folder / std::to_string(i);
    write_ct_series(mirrored, series, {.patient_id = "P", .uid_seed = uint64_t(i)});
    const auto of_dicom = found(check_studies(read_inputs({series}), small_options()), "mirrored");
    ASSERT_EQ(of_dicom.size(), 1u);
    EXPECT_EQ(of_dicom[0].severity, Severity::info);
    EXPECT_EQ(of_dicom[0].what, of_file[0].what);
  }
  EXPECT_GE(seen, 1);
  const std::string advice = advice_for("mirrored");
  for (const char* part : {"pulls the heart over", "situs inversus is rare",
                           "compare it with its DICOM original, and convert it again"})
    EXPECT_CONTAINS(advice, part);
}

TEST(Check, OneOfAKindIsToldAsOne) {
  TemporaryFolder folder;
  write_nifti(phantom(), folder / "v.nii", "test", false);
  const auto single =
      found(check_studies(read_inputs({folder / "v.nii"}), small_options()), "unpaired");
  ASSERT_EQ(single.size(), 1u);
  EXPECT_EQ(single[0].what, "1 volume has no X-ray");
  write_nifti(phantom(1), folder / "w.nii", "test", false);
  const auto both = found(check_studies(read_inputs({folder.path()}), small_options()), "unpaired");
  ASSERT_EQ(both.size(), 1u);
  EXPECT_EQ(both[0].what, "2 volumes have no X-ray");
}

TEST(Check, ValuesThatAreNotHuAreNamed) {
  PreprocessOptions options = small_options();
  options.box = BoxRule::none;
  Volume stored = phantom();
  stored.hu += 1024;
  auto report = check_volume(stored, options);
  ASSERT_EQ(found(report, "not-hu").size(), 1u);
  EXPECT_EQ(found(report, "not-hu")[0].severity, Severity::error);
  EXPECT_CONTAINS(found(report, "not-hu")[0].what, "intercept");
  Volume grey = phantom();
  grey.hu = ((grey.hu + 1000) / 8).clamp(0, 255).round();
  report = check_volume(grey, options);
  EXPECT_CONTAINS(found(report, "not-hu").at(0).what, "8 bits");
}

TEST(Check, AShiftedAirAndAClippedScanAreWarnings) {
  Volume shifted = phantom();
  shifted.hu += 60;
  EXPECT_EQ(found(check_volume(shifted), "air-not-1000").size(), 1u);
  Volume clipped = phantom();
  clipped.hu = clipped.hu.clamp(-800, 300);
  const auto findings = found(check_volume(clipped), "clipped");
  ASSERT_EQ(findings.size(), 2u);
  EXPECT_EQ(findings[0].severity, Severity::warning);
  EXPECT_CONTAINS(findings[0].what, "300");
}

TEST(Check, ThickSlicesShortScansAndCutLungsAreWarnings) {
  Volume thick = phantom();
  thick.spacing_mm[2] = 7;
  EXPECT_EQ(found(check_volume(thick), "thick-slices").size(), 1u);
  Volume cut = phantom();
  cut.hu = cut.hu.slice(0, 20, 52).contiguous();
  const auto report = check_volume(cut);
  EXPECT_EQ(found(report, "short-scan").size(), 1u);
  EXPECT_EQ(found(report, "lungs-cut-off").size(), 1u);
}

TEST(Check, LeakageDuplicatesAndRejectionsNameTheStudies) {
  TemporaryFolder folder;
  write_nifti(test::thorax(1), folder / "a.nii", "test");
  write_nifti(test::thorax(2), folder / "b.nii", "test");
  write_nifti(test::thorax(1), folder / "copy.nii", "test");
  write_png16(test::picture(20, 1), folder / "x.png");
  write_png16(test::picture(20, 2), folder / "y.png");
  write_file(folder / "broken.nii", "no volume");
  write_file(folder / "m.csv",
             "id,patient_id,ct,cxr,pe,split\n"
             "one,p1,a.nii,x.png,1,train\n"
             "two,p1,b.nii,y.png,0,test\n"
             "three,p2,copy.nii,,0,train\n"
             "four,p3,broken.nii,y.png,1,test\n"
             "five,p4,gone.nii,,,\n");
  const auto report = check_studies(read_inputs({folder / "m.csv"}), small_options());
  EXPECT_EQ(report.usable(), 3);
  const auto leaks = found(report, "leakage");
  ASSERT_EQ(leaks.size(), 1u);
  EXPECT_CONTAINS(leaks[0].what, "patient p1 is in test and train");
  EXPECT_EQ(leaks[0].where, "one, two");
  const auto across = found(report, "duplicate-across-patients");
  ASSERT_EQ(across.size(), 2u) << "the volume, and the X-ray, that of a rejected study included";
  EXPECT_EQ(across[0].where, "one, three");
  EXPECT_EQ(across[1].where, "two, four");
  EXPECT_EQ(found(report, "ct-unreadable").at(0).where, "four");
  EXPECT_EQ(found(report, "missing-file").at(0).where, "five");
  EXPECT_EQ(found(report, "unpaired").at(0).where, "three");
  EXPECT_CONTAINS(found(report, "labels").at(0).what, "1 positive, 2 negative");
  for (const StudyCheck& study : report.studies) {
    for (const Finding& f : study.findings)
      EXPECT_NE(advice_for(f.code), "See docs/troubleshooting.md.") << f.code;
  }
}

TEST(Check, OneImageInTwoSplitsIsLeakage) {
  TemporaryFolder folder;
  write_png16(test::picture(20, 1), folder / "x.png");
  write_png16(test::picture(20, 1), folder / "y.png");
  write_file(folder / "m.csv", "id,cxr,split\na,x.png,train\nb,y.png,test\n");
  const auto report = check_studies(read_inputs({folder / "m.csv"}), small_options());
  ASSERT_EQ(found(report, "leakage").size(), 1u);
  EXPECT_CONTAINS(found(report, "leakage")[0].what, "X-ray");
}

TEST(Check, ASplitsFileThatLeaksOrLeavesCasesOutIsAnError) {
  TemporaryFolder folder;
  write_png16(test::picture(20, 1), folder / "x.png");
  write_file(folder / "m.csv", "id,patient_id,cxr\na,p,x.png\n");
  write_file(folder / "s.csv", "id,split\nother,train\n");
  PreprocessOptions options = small_options();
  options.splits_file = folder / "s.csv";
  const auto report = check_studies(read_inputs({folder / "m.csv"}), options);
  EXPECT_CONTAINS(found(report, "splits-file").at(0).what, "no split for 1 of 1");
}

TEST(Check, RealScansAreReadRightWayUpAndTheirFaultsNamed) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases");
  const fs::path real = test::real_data("");
  const auto report = check_studies(
      read_inputs({real / "ct_volume/LIDC-IDRI-0001_2mm.nii.gz", real / "ct_volume/CIP_ct-64.nrrd",
                   real / "dicom_cases/series/truncated_file"}),
      small_options());
  for (const char* code : {"mirrored", "upside-down", "back-to-front", "not-hu", "air-not-1000"})
    EXPECT_TRUE(found(report, code).empty()) << code;
  EXPECT_NEAR(report.studies[0].ct->lung_litres, 3.70, 0.2);
  EXPECT_FALSE(found(report, "gap").empty());
}

}  // namespace
}  // namespace x2ctpa
