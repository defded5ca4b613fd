// Studies in exports as archives and hospitals make them: only the headers tell what belongs
// together.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/synthetic_study.h"
#include "support/dicom_bytes.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::CtMaker;
using test::DicomBytes;
using test::error_of;
using test::TemporaryFolder;

CtMaker ct_of(const std::string& patient, const std::string& uid,
              const std::string& date = "20240229") {
  CtMaker ct{{torch::zeros({6, 8, 8}), {0, 0, 0}, {2, 2, 3}}};
  ct.patient_id = patient;
  ct.series_uid = uid;
  ct.study_uid = uid + ".0";
  ct.date = date;
  return ct;
}

// A chest X-ray of a patient; `view` as in ViewPosition.
void write_xray(const fs::path& file, const std::string& patient, const std::string& date,
                const std::string& time, const std::string& view = "PA") {
  DicomBytes d;
  d.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.1.1")
      .text(0x00080020, "DA", date)
      .text(0x00080030, "TM", time);
  d.text(0x00080050, "SH", "X" + patient)
      .text(0x00080060, "CS", "DX")
      .text(0x00100010, "PN", "Doe^" + patient);
  d.text(0x00100020, "LO", patient)
      .text(0x00185101, "CS", view)
      .text(0x0020000d, "UI", "9." + date);
  d.text(0x0020000e, "UI",
         "9." + date + "." + std::to_string(std::hash<std::string>{}(file.string()) % 100000));
  d.word(0x00280002, 1)
      .text(0x00280004, "CS", "MONOCHROME2")
      .word(0x00280010, 16)
      .word(0x00280011, 16);
  d.word(0x00280100, 16).word(0x00280101, 12).word(0x00280102, 11).word(0x00280103, 0);
  std::vector<uint16_t> pixels(256);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = uint16_t(i * 16);
  d.words(0x7FE00010, "OW", pixels);
  write_file(file, d.file());
}

TEST(FindByHeaders, PatientsInOneFolderAreToldApartAndPairedByDate) {
  TemporaryFolder folder;
  ct_of("SMITH-123", "1.1").write(folder / "export");
  ct_of("JONES-456", "1.2").write(folder / "export");
  write_xray(folder / "export/a", "JONES-456", "20240229", "080000");
  write_xray(folder / "export/b", "SMITH-123", "20240301", "090000");
  write_xray(folder / "export/c", "SMITH-123", "20240229", "140000");
  write_xray(folder / "export/d", "SMITH-123", "20240229", "101500", "LL");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 4u);
  std::map<std::string, const Study*> with_ct;
  for (const Study& s : studies)
    if (!s.ct.empty()) with_ct[s.ct_series->tags->patient_id] = &s;
  ASSERT_EQ(with_ct.size(), 2u);
  EXPECT_EQ(with_ct["JONES-456"]->cxr.filename(), "a");
  // The nearest frontal one, not the lateral at the same minute.
  EXPECT_EQ(with_ct["SMITH-123"]->cxr.filename(), "c");
  EXPECT_EQ(with_ct["SMITH-123"]->ct_series->files.size(), 6u);
  EXPECT_NE(with_ct["SMITH-123"]->patient_id, with_ct["JONES-456"]->patient_id);
}

TEST(FindByHeaders, NoIdentifierOfTheHeadersReachesIdsOrNotes) {
  TemporaryFolder folder;
  ct_of("SMITH-123", "1.1").write(folder / "Smith-123" / "ct_SMITH-123");
  write_xray(folder / "Smith-123" / "x.dcm", "SMITH-123", "20240229", "090000");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 1u);
  for (std::string text : {studies[0].id, studies[0].patient_id,
                           fmt::format("{}", fmt::join(studies[0].notes, " "))}) {
    std::transform(text.begin(), text.end(), text.begin(), ::tolower);
    EXPECT_EQ(text.find("smith"), std::string::npos) << text;
  }
  InputOptions salted;
  salted.find.salt = "secret";
  EXPECT_NE(find_studies(folder.path(), salted)[0].patient_id, studies[0].patient_id);
  EXPECT_EQ(find_studies(folder.path())[0].patient_id, studies[0].patient_id);
}

TEST(FindByHeaders, FilmsTooFarInTimeOrOfAnotherPatientAreNotPaired) {
  TemporaryFolder folder;
  ct_of("A", "1.1").write(folder / "one" / "ct");
  write_xray(folder / "one/x.dcm", "A", "20240302", "101600");
  ct_of("B", "1.2").write(folder / "two" / "ct");
  write_xray(folder / "two/x.dcm", "C", "20240229", "101500");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 4u);
  for (const Study& s : studies) EXPECT_TRUE(s.ct.empty() || s.cxr.empty()) << s.id;
  InputOptions longer;
  longer.find.pair_hours = 72;
  EXPECT_EQ(find_studies(folder.path(), longer).size(), 3u);
}

TEST(FindByHeaders, WithoutDatesTheOnlyCtAndFilmOfAPatientAreAPair) {
  TemporaryFolder folder;
  ct_of("A", "1.1", "").write(folder / "x" / "ct");
  write_xray(folder / "y/x.dcm", "A", "", "");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_FALSE(studies[0].ct.empty() || studies[0].cxr.empty());
  EXPECT_CONTAINS(studies[0].notes.at(0), "only CT and X-ray");
}

TEST(FindByHeaders, OneSeriesOfAStudyIsChosenAndTheOthersAreNamed) {
  TemporaryFolder folder;
  CtMaker plain = ct_of("A", "1.1"), angio = ct_of("A", "1.2");
  angio.study_uid = plain.study_uid;
  angio.description = "CTPA 1.0";
  plain.write(folder / "deep/er/1");
  angio.write(folder / "deep/er/2");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_EQ(studies[0].ct_series->uid, "1.2");
  EXPECT_CONTAINS(fmt::format("{}", fmt::join(studies[0].notes, "\n")),
                  "passed over: series 'CHEST'");
  InputOptions options;
  options.series.prefer = {"chest"};
  EXPECT_EQ(find_studies(folder.path(), options)[0].ct_series->uid, "1.1");
}

TEST(FindByHeaders, CopiesOfASeriesInTwoFoldersDoNotMix) {
  TemporaryFolder folder;
  ct_of("A", "1.1").write(folder / "a");
  ct_of("A", "1.1").write(folder / "b");
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].patient_id, studies[1].patient_id);
  for (const Study& s : studies) EXPECT_TRUE(s.ct_series->problems.empty());
}

TEST(FindByHeaders, ASeriesSpreadOverFoldersIsOne) {
  TemporaryFolder folder;
  ct_of("A", "1.1").write(folder / "disk1", [](int64_t k, DicomBytes&) { return k % 2 == 0; });
  ct_of("A", "1.1").write(folder / "disk2", [](int64_t k, DicomBytes&) { return k % 2 == 1; });
  const auto studies = find_studies(folder.path());
  ASSERT_EQ(studies.size(), 1u);
  EXPECT_EQ(studies[0].ct_series->files.size(), 6u);
}

TEST(FindByHeaders, ReportsBesideACtAreNoStudiesAndScreensNoFilms) {
  TemporaryFolder folder;
  ct_of("A", "1.1").write(folder.path());
  for (const char* modality : {"SR", "OT"}) {
    DicomBytes d = ct_of("A", std::string("1.1.") + modality).slice(0);
    d.text(0x00080060, "CS", modality)
        .text(0x0020000d, "UI", "1.1.0")
        .text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7");
    write_file(folder / modality, d.file());
  }
  EXPECT_EQ(find_studies(folder.path()).size(), 1u);
}

TEST(FindByHeaders, AStudyWithoutAUsableSeriesIsRejectedWithItsCode) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "in" / "good.nii", "test");
  ct_of("A", "1.1").write(folder / "in" / "scout", [](int64_t k, DicomBytes& d) {
    d.text(0x00080008, "CS", "ORIGINAL\\PRIMARY\\LOCALIZER");
    return k == 0;
  });
  ct_of("B", "1.2").write(folder / "in" / "flat", [](int64_t, DicomBytes& d) {
    return d.remove(0x00280030), true;
  });
  write_file(folder / "in" / "junk" / "text.dcm", "hello");
  write_nifti({torch::zeros({30, 40, 40})}, folder / "in" / "unit.nii", "test");
  PreprocessOptions options;
  options.grid = {8, 8, 8};
  const auto result = preprocess(read_inputs({folder / "in"}), options, 0, folder / "set");
  EXPECT_EQ(result.cases, 1);
  const CsvTable rejected = CsvTable::read(folder / "set" / "rejected.csv");
  std::set<std::string> codes;
  for (size_t i = 0; i < rejected.size(); ++i) codes.insert(rejected.at(i, "reason_code"));
  EXPECT_EQ(codes,
            (std::set<std::string>{"localizer", "no-geometry", "unreadable-file", "unit-spacing"}));
}

TEST(FindByHeaders, TheRecordSaysWhatWasChosenAndWhatWasWrong) {
  TemporaryFolder folder;
  CtMaker ct = ct_of("A", "1.1");
  ct.volume = test::thorax();
  CtMaker scout = ct_of("A", "1.9");
  scout.study_uid = ct.study_uid;
  scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
  ct.write(folder / "in", [](int64_t k, DicomBytes&) { return k != 30; });
  scout.write(folder / "in", [](int64_t k, DicomBytes&) { return k == 0; });
  PreprocessOptions options;
  options.grid = {8, 8, 8};
  preprocess(read_inputs({folder / "in"}), options, 0, folder / "set");
  const std::string record = read_file(fs::directory_iterator(folder / "set" / "records")->path());
  EXPECT_CONTAINS(record, "\"gap\"");
  EXPECT_CONTAINS(record, "passed over: series");
}

class Layouts : public testing::Test {
 protected:
  std::vector<Study> read(const std::string& table, const InputOptions& options = {}) {
    write_file(folder_ / "table.csv", table);
    return read_manifest(folder_ / "table.csv", options);
  }
  TemporaryFolder folder_;
};

TEST_F(Layouts, PublishedAccessionColumnsFindImagesByNameAndByHeader) {
  ct_of("A", "1.1").write(folder_ / "cts/4015010182925/any/depth");
  write_png16(test::picture(16, 0), folder_ / "films/77.png");
  ct_of("B", "1.2").write(folder_ / "export");  // accession AB by its headers
  write_xray(folder_ / "export/x", "B", "20240101", "090000");
  const auto studies = read(
      "CT_Accession_number,cxr_Accession_number,PE\n4015010182925.0,77,1\nAB,XB,0\nmissing,,\n");
  ASSERT_EQ(studies.size(), 3u);
  EXPECT_EQ(studies[0].id, "4015010182925");
  EXPECT_EQ(studies[0].ct.filename(), "4015010182925");
  EXPECT_EQ(studies[0].cxr.filename(), "77.png");
  EXPECT_EQ(studies[0].pe, 1);
  EXPECT_EQ(studies[1].ct, folder_ / "export");
  EXPECT_EQ(studies[1].cxr.filename(), "x");
  EXPECT_EQ(studies[1].pe, 0);
  EXPECT_FALSE(fs::exists(studies[2].ct));
}

TEST_F(Layouts, RowsOfOnePatientByHeaderOrSharedImageStayTogether) {
  ct_of("A", "1.1").write(folder_ / "cts/10");
  ct_of("A", "1.2").write(folder_ / "cts/11");
  const auto studies =
      read("CT_Accession_number,cxr_Accession_number,PE\n10,1,1\n11,2,0\n12,2,0\n13,3,0\n");
  EXPECT_EQ(studies[0].patient_id, studies[1].patient_id);
  EXPECT_EQ(studies[1].patient_id, studies[2].patient_id);
  EXPECT_NE(studies[0].patient_id, studies[3].patient_id);
}

TEST_F(Layouts, ColumnsCanBeMappedAndLabelsInverted) {
  InputOptions options;
  options.manifest.ct_column = "scan";
  options.manifest.label_column = "healthy";
  options.manifest.label_inverted = true;
  const auto studies = read("scan,healthy\n10,1\n11,0\n", options);
  EXPECT_EQ(studies[0].pe, 0);
  EXPECT_EQ(studies[1].pe, 1);
  options.manifest.images = "absent";
  EXPECT_CONTAINS(error_of([&] { read("scan,healthy\n10,1\n", options); }), "absent");
}

TEST_F(Layouts, LidcPairsBySubjectAndTakesTheSeriesNamed) {
  ct_of("L1", "1.1").write(folder_ / "LIDC/L1/ct");
  write_xray(folder_ / "LIDC/L1/film/lateral.dcm", "L1", "20000101", "090000", "LL");
  write_xray(folder_ / "LIDC/L1/film/z.dcm", "L1", "20000101", "090000", "PA");
  const auto studies = read(
      "Subject ID,Modality,Series UID,File "
      "Location\nL1,DX,9.9,.\\LIDC\\L1\\film\nL1,CT,1.1,.\\LIDC\\L1\\ct\n"
      "L2,CT,1.2,.\\LIDC\\L2\\ct\n");
  ASSERT_EQ(studies.size(), 2u);
  EXPECT_EQ(studies[0].id, "L1");
  EXPECT_EQ(studies[0].ct, folder_ / "LIDC/L1/ct");
  EXPECT_EQ(studies[0].ct_series_uid, "1.1");
  EXPECT_EQ(studies[0].cxr.filename(), "z.dcm");
  EXPECT_EQ(studies[1].patient_id, "L2");
}

TEST_F(Layouts, RspectTakesOneStudyPerSeriesAndInvertsItsLabel) {
  ct_of("R", "1.1").write(folder_ / "train/aa/bb");
  const std::string head =
      "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,negative_exam_for_pe,indeterminate\n";
  const auto studies = read(head + "aa,bb,1,0,0\naa,bb,2,0,0\ncc,dd,3,1,0\nee,ff,4,0,1\n");
  ASSERT_EQ(studies.size(), 3u);
  EXPECT_EQ(studies[0].id, "aa_bb");
  EXPECT_EQ(studies[0].ct, folder_ / "train/aa/bb");
  EXPECT_EQ(studies[0].pe, 1);
  EXPECT_EQ(studies[1].pe, 0);
  EXPECT_FALSE(studies[2].pe.has_value());
  EXPECT_CONTAINS(error_of([&] { read(head + "aa,bb,1,0,0\naa,bb,2,1,0\n"); }), "row 2");
}

}  // namespace
}  // namespace x2ctpa
