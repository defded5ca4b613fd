#include <fmt/format.h>

#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

#include "data/synthetic_study.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using test::error_of;
using test::TemporaryFolder;

DatasetInfo small_info() {
  DatasetInfo info;
  info.grid_dhw = {2, 3, 4};
  info.typical_spacing_mm = {1.1, 2.2, 1.0 / 3};
  info.window = {-100, 900};
  info.cxr_size = 5;
  info.cxr_mean = 0.123456789012345;
  return info;
}

std::vector<Case> small_cases() {
  return {{"a", "p1", "train", 1, "ct/a.nii", "cxr/a.png"},
          {"b", "p2", "test", {}, "ct/b.nii", ""}};
}

TEST(Dataset, WhatIsWrittenIsWhatIsOpened) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  write_dataset(folder.path(), info, small_cases());
  const Dataset dataset = Dataset::open(folder.path());
  EXPECT_EQ(dataset.info().hash, info.hash);
  EXPECT_EQ(info.hash.size(), 64u);
  EXPECT_EQ(dataset.info().grid_dhw, info.grid_dhw);
  EXPECT_EQ(dataset.info().typical_spacing_mm, info.typical_spacing_mm);
  EXPECT_EQ(dataset.info().window, info.window);
  EXPECT_EQ(dataset.info().cxr_mean, info.cxr_mean);
  EXPECT_EQ(dataset.info().geometry, info.geometry);
  ASSERT_EQ(dataset.cases().size(), 2u);
  EXPECT_EQ(dataset.cases()[0].pe, 1);
  EXPECT_FALSE(dataset.cases()[1].pe.has_value());
  EXPECT_EQ(dataset.split("test").at(0).id, "b");
  EXPECT_EQ(dataset.split("all").size(), 2u);
}

TEST(Dataset, AnIndexChangedByHandIsRefusedWithBothHashes) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  write_dataset(folder.path(), info, small_cases());
  append_line(folder / "index.csv", "c,p3,train,0,ct/c.nii,");
  const std::string message = error_of([&] { Dataset::open(folder.path()); });
  EXPECT_CONTAINS(message, info.hash);
  EXPECT_CONTAINS(message, "have ");
}

TEST(Dataset, AFieldChangedByHandIsRefused) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  write_dataset(folder.path(), info, small_cases());
  std::string text = read_file(folder / "dataset.json");
  text.replace(text.find("900"), 3, "901");
  write_file(folder / "dataset.json", text);
  EXPECT_CONTAINS(error_of([&] { Dataset::open(folder.path()); }), "hash");
}

TEST(Dataset, TheHashDependsOnFieldsAndIndex) {
  TemporaryFolder folder;
  DatasetInfo a = small_info(), b = small_info(), c = small_info();
  write_dataset(folder.path(), a, small_cases());
  b.window.max_hu = 901;
  write_dataset(folder.path(), b, small_cases());
  auto cases = small_cases();
  cases[0].pe = 0;
  write_dataset(folder.path(), c, cases);
  EXPECT_NE(a.hash, b.hash);
  EXPECT_NE(a.hash, c.hash);
}

// A set may come from others, with a hash that fits.
TEST(Dataset, CasesWhoseNamesLeaveTheFolderAreRefused) {
  TemporaryFolder folder;
  const auto opened_with = [&](const std::string& id, const std::string& ct, const std::string& cxr,
                               const std::string& lateral = "") {
    DatasetInfo info = small_info();
    write_dataset(folder.path(), info, {{id, "p", "train", {}, ct, cxr, {}, lateral}});
    return error_of([&] { Dataset::open(folder.path()); });
  };
  EXPECT_EQ(opened_with("a", "ct/a.nii", "..a/x/../a.png"), "no error");
  for (const std::string id : {"../a", "/a", "", "a\nb", "<b>", ".."})
    EXPECT_CONTAINS(opened_with(id, "ct/a.nii", ""), "no safe name") << id;
  for (const std::string path : {"../a.nii", "/etc/passwd", "ct/../../a.nii", ".."}) {
    EXPECT_CONTAINS(opened_with("a", path, ""), "lies outside");
    EXPECT_CONTAINS(opened_with("a", "", path), "lies outside");
    EXPECT_CONTAINS(opened_with("a", "", "", path), "lies outside");
  }
}

TEST(Dataset, AnEmptyFolderSaysWhatToRun) {
  TemporaryFolder folder;
  EXPECT_CONTAINS(error_of([&] { Dataset::open(folder.path()); }), "x2ctpa preprocess");
}

TEST(Dataset, InfoSurvivesTheYamlOfAModelFolder) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  info.hash = "abc";
  write_file(folder / "config.yaml", options_to_yaml(info));
  const auto back = load_options<DatasetInfo>(folder / "config.yaml");
  EXPECT_EQ(options_to_yaml(back), options_to_yaml(info));
  EXPECT_EQ(back.typical_spacing_mm, info.typical_spacing_mm);
}

TEST(Dataset, ASetWithoutFoldsAndLaterFieldsStillOpensWithItsHash) {
  TemporaryFolder folder;
  // As written before there were folds, modalities and meanings.
  write_file(folder / "index.csv", "id,patient_id,split,pe,ct,cxr\na,p1,train,1,ct/a.nii,\n");
  write_file(folder / "dataset.json", R"({
  "grid_depth": 2, "grid_height": 3, "grid_width": 4,
  "typical_spacing_x_mm": 1.1, "typical_spacing_y_mm": 2.2, "typical_spacing_z_mm": 3.0,
  "window_min_hu": -200.0, "window_max_hu": 500.0,
  "cxr_size": 5, "cxr_mean": 0.5, "cxr_std": 0.25,
  "source_to_detector_mm": 1800.0, "source_to_centre_mm": 1600.0, "detector_mm": 430.0,
  "hash": "7d8e75f0c5f6a7d4e083339cb6d9b0559b4385ccea642ca289c816ac2c91f517"
})");
  const Dataset set = Dataset::open(folder.path());
  EXPECT_EQ(set.info().modality, Modality::ct);
  EXPECT_EQ(set.info().unit, "HU");
  EXPECT_EQ(set.folds(), 0);
  EXPECT_CONTAINS(error_of([&] { set.with_fold(0); }), "without folds");
}

TEST(Dataset, AFoldIsValidationAndTheOthersAreTraining) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  std::vector<Case> cases;
  for (int64_t i = 0; i < 6; ++i) {
    cases.push_back({fmt::format("c{}", i),
                     fmt::format("p{}", i),
                     i == 0 ? "val" : "train",
                     {},
                     "ct/x.nii",
                     "",
                     i % 3});
  }
  cases.push_back({"held", "p9", "test", {}, "ct/x.nii", ""});
  cases[3].split = "val";
  write_dataset(folder.path(), info, cases);
  const Dataset set = Dataset::open(folder.path());
  EXPECT_EQ(set.folds(), 3);
  EXPECT_EQ(set.split("val").size(), 2u);
  const Dataset second = set.with_fold(1);
  ASSERT_EQ(second.split("val").size(), 2u);
  EXPECT_EQ(second.split("val")[0].id, "c1");
  EXPECT_EQ(second.split("val")[1].id, "c4");
  EXPECT_EQ(second.split("train").size(), 4u);
  EXPECT_EQ(second.split("test").at(0).id, "held");
  EXPECT_EQ(second.info().hash, info.hash);
  EXPECT_CONTAINS(error_of([&] { set.with_fold(3); }), "0 to 2");
}

TEST(Dataset, EveryFieldOfTheFileSaysWhatItMeansAndTheHashCoversTheFieldsAlone) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  write_dataset(folder.path(), info, small_cases());
  std::string text = read_file(folder / "dataset.json");
  const size_t at = text.find("\"meanings\"");
  ASSERT_NE(at, std::string::npos);
  for (const char* key : {"grid_depth", "typical_spacing_x_mm", "window_min_hu", "unit", "cxr_std"})
    EXPECT_NE(text.find(std::string("\"") + key + "\"", at), std::string::npos) << key;
  text.replace(text.find("Side of the square X-rays"), 4, "Edge");
  write_file(folder / "dataset.json", text);
  EXPECT_NO_THROW(Dataset::open(folder.path()));
}

TEST(Dataset, APatientInTwoSplitsIsRefused) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  auto cases = small_cases();
  cases[1].patient_id = "p1";
  const std::string message = error_of([&] { write_dataset(folder.path(), info, cases); });
  EXPECT_CONTAINS(message, "p1");
  EXPECT_CONTAINS(message, "train");
  EXPECT_CONTAINS(message, "test");
}

TEST(Dataset, CtIsWindowedAndXrayIsInUnitRange) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  Volume volume{torch::tensor({-1000.f, -100.f, 400.f, 900.f}).repeat({2, 3, 1})};
  write_nifti(volume, folder / "ct/a.nii", "test");
  write_png16(test::picture(5, 1), folder / "cxr/a.png");
  write_dataset(folder.path(), info, small_cases());
  const Dataset dataset = Dataset::open(folder.path());
  const at::Tensor ct = dataset.load_ct(dataset.cases()[0]);
  EXPECT_EQ(ct.sizes(), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_TRUE(torch::allclose(ct[0][0][0], torch::tensor({-1.f, -1.f, 0.f, 1.f})));
  EXPECT_TRUE(torch::allclose(info.window.to_hu(ct)[0][0][0],
                              torch::tensor({-100.f, -100.f, 400.f, 900.f}), 0, 1e-3));
  EXPECT_TRUE(
      torch::allclose(dataset.load_cxr(dataset.cases()[0])[0], test::picture(5, 1), 0, 1e-4));
}

TEST(Dataset, AVolumeOfAnotherGridNamesTheCaseAndBothSizes) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  write_nifti({torch::zeros({2, 3, 5})}, folder / "ct/a.nii", "test");
  write_dataset(folder.path(), info, small_cases());
  const Dataset dataset = Dataset::open(folder.path());
  const std::string message = error_of([&] { dataset.load_ct(dataset.cases()[0]); });
  EXPECT_CONTAINS(message, "case a");
  EXPECT_CONTAINS(message, "2x3x5");
  EXPECT_CONTAINS(message, "2x3x4");
  EXPECT_CONTAINS(error_of([&] { dataset.load_ct(dataset.cases()[1]); }), "case b");
  EXPECT_CONTAINS(error_of([&] { dataset.load_cxr(dataset.cases()[1]); }), "no X-ray");
}

TEST(DatasetOfTwoViews, KeepsLateralXraysAndLoadsWhatIsThere) {
  TemporaryFolder folder;
  DatasetInfo info = small_info();
  auto cases = small_cases();
  write_dataset(folder.path(), info, cases);
  const std::string before = read_file(folder / "dataset.json"), hash = info.hash;
  EXPECT_EQ(before.find("lateral"), std::string::npos);
  EXPECT_EQ(Dataset::open(folder.path()).info().views(), CxrViews::frontal);

  info.lateral_mean = 0.4;
  info.lateral_std = 0.2;
  info.lateral_source_to_centre_mm = 1550;
  cases[0].cxr_lateral = "cxr/a_lateral.png";
  cases[1].cxr_lateral = "cxr/b_lateral.png";
  fs::create_directories(folder / "cxr");
  for (const char* name : {"a", "a_lateral", "b_lateral"})
    write_png16(test::picture(5, 3), folder / "cxr" / (std::string(name) + ".png"));
  write_dataset(folder.path(), info, cases);
  EXPECT_NE(info.hash, hash);
  const Dataset set = Dataset::open(folder.path());
  EXPECT_EQ(set.info().views(), CxrViews::both);
  EXPECT_EQ(set.info().lateral_std, 0.2);
  EXPECT_EQ(set.cases()[1].cxr_lateral, "cxr/b_lateral.png");
  const auto a = set.load_views(set.cases()[0], CxrViews::both),
             b = set.load_views(set.cases()[1], CxrViews::both);
  EXPECT_TRUE(at::isfinite(a).all().item<bool>());
  EXPECT_TRUE(b[0].isnan().all().item<bool>());
  EXPECT_TRUE(at::isfinite(b[1]).all().item<bool>());
  EXPECT_EQ(set.load_views(set.cases()[0], CxrViews::frontal).size(0), 1);
  EXPECT_TRUE(set.cases()[1].has(ViewSet::lateral));
  EXPECT_FALSE(set.cases()[1].has(ViewSet::both));
  EXPECT_FALSE(set.cases()[1].has_xray(CxrViews::frontal));
}

}  // namespace
}  // namespace x2ctpa
