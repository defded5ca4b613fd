// Public sets in the form in which they are handed out, through preprocess.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/preprocess/small_preprocess.h"
#include "data/synthetic_study.h"
#include "support/dicom_bytes.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::CtMaker;
using test::error_of;
using test::TemporaryFolder;

class PublicSets : public testing::Test {
 protected:
  void put_ct(const fs::path& file) { write_nifti(test::thorax(), folder_ / file, "test"); }
  void put_dicom_ct(const fs::path& place, const std::string& patient, const std::string& uid,
                    const std::string& date, const std::string& description = "CHEST") {
    CtMaker ct{test::thorax()};
    ct.patient_id = patient;
    ct.study_uid = uid.substr(0, uid.rfind('.'));
    ct.series_uid = uid;
    ct.date = date;
    ct.description = description;
    ct.write(folder_ / place);
  }
  void put_xray(const fs::path& file, const std::string& patient, const std::string& date) {
    auto d = test::dicom_xray(40, 40);
    d.text(0x00100020, "LO", patient).text(0x00080020, "DA", date).text(0x00080030, "TM", "09");
    write_file(folder_ / file, d.file());
  }
  void put_picture(const fs::path& file) {
    fs::create_directories((folder_ / file).parent_path());
    write_png16(test::picture(20, 0), folder_ / file);
  }
  std::vector<Study> read(const fs::path& table, const InputOptions& options = {}) {
    return read_inputs({folder_ / table}, options);
  }
  Dataset preprocessed(const std::vector<Study>& studies) {
    PreprocessOptions options = test::small_preprocess_options();
    preprocess(studies, options, 0, folder_ / "set");
    return Dataset::open(folder_ / "set");
  }
  std::map<std::string, std::string> rejected() {
    const CsvTable table = CsvTable::read(folder_ / "set/rejected.csv");
    std::map<std::string, std::string> codes;
    for (size_t i = 0; i < table.size(); ++i)
      codes[fs::path(table.at(i, "source")).filename()] = table.at(i, "reason_code");
    return codes;
  }
  static std::map<std::string, Case> by_id(const Dataset& set) {
    std::map<std::string, Case> cases;
    for (const Case& c : set.cases()) cases[c.id] = c;
    return cases;
  }

  TemporaryFolder folder_;
};

TEST_F(PublicSets, InspectJoinsItsTablesAndTakesCensoredAsUnknown) {
  for (const char* image : {"PE01", "PE02", "PE03", "PE04"})
    put_ct(fmt::format("full/CTPA/{}.nii.gz", image));
  write_file(folder_ / "full/study_mapping_20250611.tsv",
             "impression_id\tperson_id\timage_id\tprocedure_DATETIME\n"
             "11\t1001\tPE01\t2010-01-02\n12\t1001\tPE02.nii.gz\t\n13\t1003\tPE03\t\n"
             "14\t1004\tPE04\t\n15\t1005\t\t\n14\t1004\tPE04\t\n16\t1006\tPE06\t\n");
  write_file(folder_ / "full/labels_20250611.tsv",
             "impression_id\tpe_positive_nlp\tpe_acute\tpe_subsegmentalonly\t12_month_PH\n"
             "11\tTrue\tTrue\tFalse\tCensored\n12\tFalse\tFalse\tFalse\tTrue\n"
             "13\tCensored\tFalse\tFalse\tFalse\n16\tFalse\tFalse\tFalse\tFalse\n");
  write_file(folder_ / "full/splits_20250611.tsv",
             "impression_id\tsplit\n11\ttrain\n12\ttrain\n12\ttrain\n13\tvalid\n14\ttest\n");
  const fs::path table = "full/study_mapping_20250611.tsv";
  const Dataset set = preprocessed(read(table));
  const auto cases = by_id(set);
  ASSERT_EQ(cases.size(), 4u);
  EXPECT_EQ(cases.at("PE01").pe, 1);
  EXPECT_EQ(cases.at("PE02").pe, 0);
  EXPECT_FALSE(cases.at("PE03").pe.has_value()) << "censored";
  EXPECT_FALSE(cases.at("PE04").pe.has_value()) << "without a row of labels";
  EXPECT_EQ(cases.at("PE01").patient_id, "1001");
  EXPECT_EQ(cases.at("PE02").patient_id, "1001");
  EXPECT_EQ(cases.at("PE03").split, "val");
  EXPECT_EQ(cases.at("PE04").split, "test");
  EXPECT_EQ(cases.at("PE01").groups.at("pe_acute"), "True");
  EXPECT_EQ(rejected(), (std::map<std::string, std::string>{{"PE06.nii.gz", "missing-file"}}));

  InputOptions other;
  other.manifest.label_column = "12_month_PH";
  const auto studies = read(table, other);
  EXPECT_FALSE(studies[0].pe.has_value());
  EXPECT_EQ(studies[1].pe, 1);
}

TEST_F(PublicSets, InspectRefusesTablesThatContradictThemselves) {
  write_file(folder_ / "study_mapping.tsv", "impression_id\timage_id\n11\tPE01\n");
  write_file(folder_ / "splits.tsv", "impression_id\tsplit\n11\ttrain\n11\ttest\n");
  EXPECT_CONTAINS(error_of([&] { read("study_mapping.tsv"); }), "11 is there before with another");
  write_file(folder_ / "splits.tsv", "impression_id\tsplit\n11\ttrain\n");
  write_file(folder_ / "labels.tsv", "impression_id\tpe_positive_nlp\n11\tperhaps\n");
  EXPECT_CONTAINS(error_of([&] { read("study_mapping.tsv"); }), "perhaps");
}

TEST_F(PublicSets, CtRateTakesOneReconstructionOfEachScan) {
  for (const char* name :
       {"train/train_1/train_1_a/train_1_a_1", "train/train_1/train_1_a/train_1_a_2",
        "train/train_1/train_1_b/train_1_b_2", "valid/valid_1/valid_1_a/valid_1_a_1"})
    put_ct(fmt::format("dataset/{}.nii.gz", name));
  // Files of the first release have neither qform nor sform.
  fs::create_directories(folder_ / "dataset/train/train_2");
  const fs::path old = folder_ / "dataset/train/train_2/train_2_a_1.nii";
  write_nifti(test::thorax(), old, "test");
  std::string bytes = read_file(old);
  for (const size_t at : {252, 253, 254, 255}) bytes[at] = 0;
  write_file(old, bytes);
  write_file(folder_ / "dataset/metadata/metadata.csv",
             "VolumeName,Manufacturer,SeriesDescription,ConvolutionKernel,XYSpacing,ZSpacing\n"
             "train_1_a_1.nii.gz,S,lung,Br59,\"[0.7, 0.7]\",1.0\n"
             "train_1_a_2.nii.gz,S,soft,\"['Br40f', '3']\",\"[0.7, 0.7]\",1.5\n"
             "train_1_b_1.nii.gz,S,soft,Br40f,\"[0.7, 0.7]\",1.5\n"
             "train_1_b_2.nii.gz,S,lung,Br59,\"[0.7, 0.7]\",1.5\n"
             "train_2_a_1.nii.gz,S,soft,Br40f,\"[0.7, 0.7]\",1.5\n"
             "valid_1_a_1.nii.gz,S,soft,Br40f,\"[0.7, 0.7]\",1.5\n");
  InputOptions options;
  options.manifest.images = "../../dataset";
  const auto studies = read("dataset/metadata/metadata.csv", options);
  ASSERT_EQ(studies.size(), 4u);
  EXPECT_EQ(studies[0].ct.filename(), "train_1_a_2.nii.gz") << "the kernel for soft tissue";
  EXPECT_EQ(studies[1].ct.filename(), "train_1_b_2.nii.gz") << "the one that is there";
  EXPECT_CONTAINS(studies[0].notes.at(1), "passed over: reconstruction 1 (Br59)");
  const Dataset set = preprocessed(studies);
  const auto cases = by_id(set);
  ASSERT_EQ(cases.size(), 3u);
  EXPECT_EQ(cases.at("train_1_a").patient_id, cases.at("train_1_b").patient_id);
  EXPECT_EQ(cases.at("valid_1_a").split, "val");
  EXPECT_NE(cases.at("valid_1_a").patient_id, cases.at("train_1_a").patient_id);
  EXPECT_EQ(rejected().at("train_2_a_1.nii"), "no-orientation");
  write_file(folder_ / "other.csv", "VolumeName\nscan7.nii.gz\n");
  EXPECT_CONTAINS(error_of([&] { read("other.csv"); }), "valid_1_a_1.nii.gz");
}

TEST_F(PublicSets, TciaPairsByHeaderAndNamesPatientsBySubject) {
  put_dicom_ct("C/S-1/ct1", "S-1", "1.1.1", "20240229");
  put_dicom_ct("C/S-1/ct2", "S-1", "1.1.2", "20240229", "CTPA 1.0");
  put_dicom_ct("C/S-1/unlisted", "S-1", "1.7.1", "20240401");
  put_xray("C/S-1/xr/1-1.dcm", "S-1", "20240301");
  put_xray("C/S-1/late/1-1.dcm", "S-1", "20240601");
  put_dicom_ct("C/S-2/ct", "S-2", "1.2.1", "20240229");
  write_file(folder_ / "metadata.csv",
             "Series UID,Collection,Subject ID,Study UID,Study Date,Series Description,Modality,"
             "Number of Images,File Location\n"
             "1.1.1,C,S-1,1.1,02-29-2024,CHEST,CT,64,.\\C\\S-1\\ct1\n"
             "1.1.2,C,S-1,1.1,02-29-2024,CTPA,CT,64,.\\C\\S-1\\ct2\n"
             "1.1.9,C,S-1,1.1,02-29-2024,seg,SEG,1,.\\C\\S-1\\seg\n"
             "1.5.1,C,S-1,1.5,03-01-2024,CHEST,DX,1,./C/S-1/xr\n"
             "1.6.1,C,S-1,1.6,06-01-2024,CHEST,CR,1,./C/S-1/late\n"
             "1.2.1,C,S-2,1.2,02-29-2024,CHEST,CT,64,./C/S-2/ct\n"
             "1.3.1,C,S-3,1.3,02-29-2024,CHEST,CT,64,./C/S-3/ct\n");
  const auto studies = read("metadata.csv");
  ASSERT_EQ(studies.size(), 4u);
  const Study& pair = studies[0];
  EXPECT_EQ(pair.id, "S-1");
  EXPECT_EQ(pair.ct_series->uid, "1.1.2") << "the series that its words speak for";
  EXPECT_EQ(pair.cxr.parent_path().filename(), "xr");
  std::set<std::string> patients;
  for (const Study& s : studies) patients.insert(s.patient_id);
  EXPECT_EQ(patients, (std::set<std::string>{"S-1", "S-2", "S-3"}));
  const auto cases = by_id(preprocessed(studies));
  EXPECT_EQ(cases.size(), 3u);
  EXPECT_EQ(rejected(), (std::map<std::string, std::string>{{"ct", "missing-file"}}));
}

TEST_F(PublicSets, MidsPairsSessionsOfOneParticipantByDate) {
  const std::string a = "covid19_posi/sub-S03001/";
  put_ct(a + "ses-E01/mod-rx/sub-S03001_ses-E01_run-2_bp-chest_ct.nii.gz");
  write_nifti({torch::zeros({3, 3, 3})},
              folder_ / (a + "ses-E01/mod-rx/sub-S03001_ses-E01_run-1_bp-chest_ct.nii.gz"), "test");
  put_picture(a + "ses-E02/mod-rx/sub-S03001_ses-E02_run-1_bp-chest_vp-ll_cr.png");
  put_picture(a + "ses-E02/mod-rx/sub-S03001_ses-E02_run-1_bp-chest_vp-ap_cr.png");
  put_picture(a + "ses-E02/mod-rx/sub-S03001_ses-E02_run-2_bp-chest_vp-pa_cr.png");
  put_picture(a + "ses-E03/mod-rx/sub-S03001_ses-E03_run-1_bp-chest_dx.png");
  write_file(folder_ / (a + "sub-S03001_sessions.tsv"),
             "session_id\tstudy_date\tmedical_evaluation\n"
             "ses-E01\t20200402.0\tno change\nses-E02\t20200401.0\t\nses-E03\t20200601.0\t\n");
  const std::string b = "covid19_posi/sub-S03002/";
  write_file(folder_ / (b + "sub-S03002_sessions.tsv"), "session_id\tstudy_date\n\"open\t1\n");
  put_ct(b + "ses-E09/mod-ct/sub-S03002_ses-E09_run-1_bp-chest_ct.nii.gz");
  write_file(folder_ / "covid19_posi/participants.tsv",
             "participant\tmodality_dicom\tgender\tage\n"
             "sub-S03001\t['CT', 'CR']\tM\t['51']\nsub-S03002\t['CT']\tF\t['60']\n"
             "derivatives\t\t\t\nsub-S03003\t['CR']\tF\t['61']\n");
  const auto studies = read("covid19_posi/participants.tsv");
  ASSERT_EQ(studies.size(), 3u);
  EXPECT_EQ(studies[0].id, "sub-S03001_ses-E01");
  EXPECT_CONTAINS(studies[0].ct.string(), "run-2_bp-chest_ct");
  EXPECT_CONTAINS(studies[0].cxr.string(), "vp-pa_cr") << "not the lateral one";
  EXPECT_CONTAINS(studies[0].notes.at(0), "24.0 h apart");
  EXPECT_EQ(studies[1].id, "sub-S03001_ses-E03");
  EXPECT_TRUE(studies[1].ct.empty()) << "two months later";
  EXPECT_EQ(studies[2].patient_id, "sub-S03002");
  EXPECT_EQ(by_id(preprocessed(studies)).size(), 3u);
}

TEST_F(PublicSets, RspectKeepsItsColumnsForSubgroups) {
  for (const char* series : {"a/1", "b/2"}) put_dicom_ct(series, series, "1.1.1", "20240229");
  write_file(folder_ / "train.csv",
             "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,"
             "negative_exam_for_pe,qa_motion,qa_contrast,rv_lv_ratio_gte_1,rv_lv_ratio_lt_1,"
             "central_pe,indeterminate\n"
             "a,1,x,0,0,0,1,1,0,1,0\na,1,y,1,0,0,1,1,0,1,0\nb,2,z,0,1,0,0,0,0,0,0\n");
  const auto studies = read("train.csv");
  const Dataset set = preprocessed(studies);
  const auto cases = by_id(set);
  EXPECT_EQ(cases.at("a_1").groups,
            (std::map<std::string, std::string>{{"central_pe", "1"},
                                                {"qa_contrast", "1"},
                                                {"qa_motion", "0"},
                                                {"rv_lv_ratio_gte_1", "1"},
                                                {"rv_lv_ratio_lt_1", "0"}}));
  EXPECT_EQ(cases.at("b_2").groups.at("central_pe"), "0");
  InputOptions options;
  options.manifest.groups = {"central_pe"};
  EXPECT_EQ(read("train.csv", options)[0].groups.size(), 1u);
}

TEST_F(PublicSets, ManifestsKeepTheColumnsAskedFor) {
  put_ct("a.nii.gz");
  write_file(folder_ / "manifest.csv", "id,ct,sex,cxr_lateral\ns1,a.nii.gz,F,\n");
  InputOptions options;
  options.manifest.groups = {"sex"};
  EXPECT_EQ(by_id(preprocessed(read("manifest.csv", options))).at("s1").groups.at("sex"), "F");
  options.manifest.groups = {"age"};
  EXPECT_CONTAINS(error_of([&] { read("manifest.csv", options); }), "age");
  options.manifest.groups = {"id"};
  EXPECT_CONTAINS(error_of([&] { preprocessed(read("manifest.csv", options)); }), "id is a column");
}

}  // namespace
}  // namespace x2ctpa
