// What preprocess says, and when: before the work, of cases made before, of splits without a case.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "data/preprocess/small_preprocess.h"
#include "data/synthetic_study.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::small_preprocess_options;
using test::TemporaryFolder;

// What a call says on stderr.
std::string told_by(const fs::path& input, const PreprocessOptions& options, const fs::path& out) {
  testing::internal::CaptureStderr();
  preprocess(read_inputs({input}), options, 0, out);
  return testing::internal::GetCapturedStderr();
}

// A thorax whose lungs go through its last slices.
void put_cut_thorax(const fs::path& file) {
  Volume cut = test::thorax();
  cut.hu = cut.hu.slice(0, 0, 52).contiguous();
  write_nifti(cut, file, "test");
}

TEST(PreprocessMessages, WarningsAreSentencesWithAdviceAndComeAgainForCasesMadeBefore) {
  TemporaryFolder folder;
  put_cut_thorax(folder / "in/a.nii");
  put_cut_thorax(folder / "in/b.nii");
  for (int call = 0; call < 2; ++call) {
    const std::string told = told_by(folder / "in", small_preprocess_options(), folder / "set");
    EXPECT_CONTAINS(told,
                    "lungs-cut-off in 2 of 2 cases (a, b): the lungs touch the first or the "
                    "last slice. Use it if the cut is small");
  }
}

TEST(PreprocessMessages, WhatTheCheckSaysOfAScanIsSaidOfItsCase) {
  TemporaryFolder folder;
  Volume shifted = test::thorax();
  shifted.hu += 60;
  write_nifti(shifted, folder / "in/a.nii", "test");
  const std::string told = told_by(folder / "in", small_preprocess_options(), folder / "set");
  EXPECT_CONTAINS(told, "air-not-1000 in 1 of 1 case (a): air measures");
}

TEST(PreprocessMessages, APatientInTwoSplitsIsRefusedBeforeAnyCaseIsMade) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  write_file(folder / "m.csv", "id,patient_id,ct,split\na,p,a.nii,train\nb,p,a.nii,test\n");
  const auto studies = read_inputs({folder / "m.csv"});
  EXPECT_CONTAINS(
      error_of([&] { preprocess(studies, small_preprocess_options(), 0, folder / "set"); }),
      "patient p is in two splits");
  EXPECT_FALSE(fs::exists(folder / "set/records"));
  // The same by a file of splits, which need not know every study.
  write_file(folder / "m.csv", "id,patient_id,ct\na,p,a.nii\nb,p,a.nii\nc,q,a.nii\n");
  write_file(folder / "s.csv", "ID,Split\na,train\nb,test\n");
  PreprocessOptions options = small_preprocess_options();
  options.splits_file = folder / "s.csv";
  EXPECT_CONTAINS(
      error_of([&] { preprocess(read_inputs({folder / "m.csv"}), options, 0, folder / "set"); }),
      "patient p is in two splits");
  EXPECT_FALSE(fs::exists(folder / "set/records"));
}

TEST(PreprocessMessages, AFileOfTwoPatientsIsToldOf) {
  TemporaryFolder folder;
  for (const char* name : {"a.nii", "b.nii"}) write_nifti(test::thorax(), folder / name, "test");
  write_file(folder / "m.csv", "id,patient_id,ct\na,p,a.nii\nb,q,./a.nii\nc,r,b.nii\nd,r,b.nii\n");
  const std::string told = told_by(folder / "m.csv", small_preprocess_options(), folder / "set");
  EXPECT_CONTAINS(told, "a.nii belongs to two patients, p (case a) and q (case b)");
  EXPECT_EQ(told.find("b.nii belongs"), std::string::npos) << told;
}

TEST(PreprocessMessages, SplitsThatWereToHaveCasesAndHaveNoneAreNamed) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "in/a.nii", "test");
  PreprocessOptions options = small_preprocess_options();
  options.splits = {0.7, 0.1, 0.2};
  const std::string told = told_by(folder / "in", options, folder / "set");
  EXPECT_CONTAINS(told, "no case is in the split val");
  EXPECT_CONTAINS(told, "no case is in the split test");
  EXPECT_EQ(told.find("in the split train"), std::string::npos);
  options.splits = {1, 0, 0};
  EXPECT_EQ(told_by(folder / "in", options, folder / "meant").find("no case is in"),
            std::string::npos);
}

TEST(PreprocessMessages, ManyRejectionsAreAFewLines) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "in/a.nii", "test");
  for (int i = 0; i < 40; ++i) write_file(folder / fmt::format("in/{:02d}.png", i), "no picture");
  const std::string told = told_by(folder / "in", small_preprocess_options(), folder / "set");
  EXPECT_LT(std::count(told.begin(), told.end(), '\n'), 25) << told;
  EXPECT_CONTAINS(told, "40 studies were rejected");
}

TEST(PreprocessMessages, ANameThatIsNoUtf8IsACaseLikeAnyOther) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "in/good.nii", "test");
  write_nifti(test::thorax(1), folder / "in/plain.nii", "test");
  fs::rename(folder / "in/plain.nii", folder / "in/r\xF6ntgen.nii");
  write_file(folder / "in/kaputt\xFC.nii", "no volume");
  for (int call = 0; call < 2; ++call) {
    const auto result =
        preprocess(read_inputs({folder / "in"}), small_preprocess_options(), 0, folder / "set");
    EXPECT_TRUE(result.complete);
    EXPECT_EQ(result.cases, 2);
    EXPECT_EQ(result.kept, 2 * call);
    EXPECT_EQ(result.rejected, 1);
  }
  EXPECT_TRUE(fs::exists(folder / "set/ct/rxF6ntgen.nii"));
  EXPECT_CONTAINS(CsvTable::read(folder / "set/rejected.csv").at(0, "source"), "kaputt\\xFC.nii");
}

TEST(PreprocessMessages, APatientIdThatIsNoUtf8IsReadableInTheIndex) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "a.nii", "test");
  write_file(folder / "m.csv", "id,patient_id,ct\na,M\xFCller,a.nii\n");
  write_file(folder / "s.csv", "patient_id,split\nM\xFCller,test\n");
  PreprocessOptions options = small_preprocess_options();
  options.splits_file = folder / "s.csv";
  preprocess(read_inputs({folder / "m.csv"}), options, 0, folder / "set");
  const CsvTable index = CsvTable::read(folder / "set/index.csv");
  EXPECT_EQ(index.at(0, "patient_id"), "M\\xFCller");
  EXPECT_EQ(index.at(0, "split"), "test");
}

TEST(PreprocessMessages, FormsThatContradictRejectAStudyUnlessOneIsChosen) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "in/good.nii", "test");
  write_nifti(test::thorax(1), folder / "in/odd.nii", "test");
  std::string bytes = read_file(folder / "in/odd.nii");
  // The first row of the sform: x to the other side.
  for (const size_t at : {283u, 295u}) bytes[at] = char(bytes[at] ^ 0x80);
  write_file(folder / "in/odd.nii", bytes);
  PreprocessOptions options = small_preprocess_options();
  const auto studies = read_inputs({folder / "in"});
  const auto refused = preprocess(studies, options, 0, folder / "set");
  EXPECT_EQ(refused.rejected, 1);
  EXPECT_EQ(CsvTable::read(folder / "set/rejected.csv").at(0, "reason_code"), "forms-contradict");
  options.nifti_form = NiftiForm::qform;
  const std::string told = told_by(folder / "in", options, folder / "chosen");
  EXPECT_CONTAINS(told, "forms-contradict in 1 of 2 cases (odd)");
  EXPECT_CONTAINS(told, "the qform is taken, as preprocess.nifti_form says");
}

}  // namespace
}  // namespace x2ctpa
