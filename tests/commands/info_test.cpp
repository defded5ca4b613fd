#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "commands/run_binary.h"
#include "data/synthetic_study.h"
#include "support/dicom_bytes.h"
#include "support/test_volumes.h"
#include "x2ctpa/commands/experiment.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

using nlohmann::json;
using test::run_binary;
using test::TemporaryFolder;

json info(const fs::path& path) {
  const auto result = run_binary("info --json " + path.string());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return json::parse(result.out, nullptr, false);
}

TEST(InfoCommand, NamesTheProgramItsLibraryAndDevices) {
  const auto result = run_binary("info --json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json j = json::parse(result.out);
  EXPECT_EQ(j.at("devices").at(0), "cpu");
  EXPECT_FALSE(j.at("libtorch").get<std::string>().empty());
  EXPECT_TRUE(j.at("backends").at("cpu").get<std::string>().starts_with("loaded"));
  const std::string cuda = j.at("backends").at("cuda").get<std::string>();
  if (j.at("devices").size() == 1) {
    EXPECT_TRUE(cuda.starts_with("not used: ")) << cuda;
    EXPECT_GT(cuda.size(), 20u) << "it says why";
  } else {
    EXPECT_TRUE(cuda.starts_with("loaded")) << cuda;
  }
}

// LibTorch's CUDA libraries may be missing as well: each is a reason, and says what to do.
TEST(InfoCommand, SaysWhyADriverThatIsTooOldIsOfNoUse) {
  const auto result = run_binary("info --json", "LD_LIBRARY_PATH=" X2CTPA_FAKE_DRIVER " ");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json j = json::parse(result.out);
  EXPECT_EQ(j.at("devices"), json::array({"cpu"}));
  const std::string cuda = j.at("backends").at("cuda").get<std::string>();
  EXPECT_TRUE(cuda.starts_with("not used: ")) << cuda;
  EXPECT_EQ(cuda.find("no NVIDIA driver"), std::string::npos) << cuda;
  const bool says_what_to_do = cuda.find("install a newer driver") != std::string::npos ||
                               cuda.find("scripts/setup.sh --cuda") != std::string::npos;
  EXPECT_TRUE(says_what_to_do) << cuda;
}

TEST(InfoCommand, CountsThePublishedParametersOfThePaperExperiment) {
  const fs::path configs = fs::path(X2CTPA_SOURCE_DIR) / "configs";
  const json models = info(configs / "paper.yaml").at("models");
  const auto parameters = [&](const char* name) {
    return models.at(name).at("parameters").get<int64_t>();
  };
  EXPECT_EQ(parameters("unet3d"), 12007252);
  EXPECT_EQ(parameters("autoencoder"), 83653863);  // diffusers, stabilityai/sd-vae-ft-mse
  EXPECT_EQ(parameters("biomedclip"),
            86191872);  // 85,798,656 of the ViT and 768 x 512 of its projection
  EXPECT_EQ(parameters("clip"), 303179776);       // transformers, openai/clip-vit-large-patch14
  EXPECT_EQ(parameters("classifier"), 11309505);  // the published densenet121 of 4 channels
  const json vqgan = info(configs / "paper-vqgan3d.yaml").at("models").at("autoencoder");
  EXPECT_EQ(vqgan.at("parameters"),
            1391081);  // the published encoder, decoder and their two joints
}

TEST(InfoCommand, TellsAVolumeWithItsLungs) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "ct.nii.gz", "a thorax");
  const json j = info(folder / "ct.nii.gz");
  EXPECT_EQ(j.at("kind"), "volume");
  EXPECT_EQ(j.at("size"), json({88, 64, 64}));
  EXPECT_NEAR(j.at("spacing_mm").at(2).get<double>(), 4, 1e-5);
  EXPECT_EQ(j.at("orientation"), "LPS");
  EXPECT_NEAR(j.at("lung_litres").get<double>(), 3.1, 0.5);
}

TEST(InfoCommand, TellsAVolumeWhateverTheCaseOfItsEndingAndOfNrrdsTwoFiles) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "scan.nii.gz", "a thorax");
  fs::rename(folder / "scan.nii.gz", folder / "SCAN.NII.GZ");
  test::write_nhdr(test::thorax(), folder / "scan.nhdr");
  for (const char* name : {"SCAN.NII.GZ", "scan.nhdr"}) {
    const json j = info(folder / name);
    ASSERT_TRUE(j.is_object()) << name;
    EXPECT_EQ(j.at("kind"), "volume") << name;
    EXPECT_EQ(j.at("size"), json({88, 64, 64})) << name;
  }
}

TEST(InfoCommand, TellsAnXrayAndASafetensorsFileAndAModel) {
  TemporaryFolder folder;
  write_png16(test::picture(20, 0), folder / "x.png");
  EXPECT_EQ(info(folder / "x.png").at("size"), json({20, 20}));
  write_safetensors(folder / "model/weights.safetensors",
                    {{"w", torch::zeros({2, 3})}, {"b", torch::zeros({3})}});
  write_file(folder / "model/config.yaml", "unet:\n  dim: 32\n  mults: [1, 2]\n");
  EXPECT_EQ(info(folder / "model/weights.safetensors").at("parameters"), 9);
  const json model = info(folder / "model");
  EXPECT_EQ(model.at("kind"), "model");
  EXPECT_EQ(model.at("parameters"), 9);
  EXPECT_EQ(model.at("options").at("unet").at("mults"), json({1, 2}));
}

TEST(InfoCommand, TellsADatasetAndTheRunAroundIt) {
  TemporaryFolder run;
  DatasetInfo set;
  set.grid_dhw = {2, 3, 4};
  set.cxr_size = 8;
  write_dataset(run / "dataset", set, {{"a", "p", "train", 1, "ct/a.nii", ""}});
  EXPECT_EQ(info(run / "dataset").at("splits").at("train").at("pe_positive"), 1);
  EXPECT_TRUE(info(run.path()).at("parts").contains("dataset"));
}

TEST(InfoCommand, CountsWhatARunHoldsAndSaysWhatIsNotFinished) {
  TemporaryFolder run;
  write_file(run / "dataset/preprocess.yaml", "seed: 0\n");
  write_file(run / "dataset/records/a.json", "{}");
  write_file(run / "dataset/records/.part-1-0-b.json", "{}");
  for (const char* file : {"a.nii.gz", "b.nii.gz", "a.json", "b.json", "samples.csv"})
    write_file(run / "samples" / file, "x");
  fs::create_directories(run / "samples/previews");
  const json parts = info(run.path()).at("parts");
  EXPECT_CONTAINS(parts.at("dataset").get<std::string>(), "not finished: 1 case so far");
  EXPECT_EQ(parts.at("samples"), "generated volumes: 2");
  const json dataset = info(run / "dataset");
  EXPECT_EQ(dataset.at("kind"), "unfinished dataset");
  EXPECT_EQ(dataset.at("cases_so_far"), 1);
}

TEST(InfoCommand, DoesNotRefuseAVolumeWhoseFormsContradictAndNamesThem) {
  TemporaryFolder folder;
  write_nifti(test::thorax(), folder / "odd.nii", "test");
  std::string bytes = read_file(folder / "odd.nii");
  for (const size_t at : {283u, 295u}) bytes[at] = char(bytes[at] ^ 0x80);
  write_file(folder / "odd.nii", bytes);
  const json j = info(folder / "odd.nii");
  EXPECT_EQ(j.at("problems"), json::array({"forms-contradict"}));
  EXPECT_CONTAINS(j.at("notes")[0].get<std::string>(), "axes LPS and RPS");
}

TEST(InfoCommand, ChoosesASeriesForEachStudyOfEachPatient) {
  TemporaryFolder folder;
  for (const char* patient : {"a", "b"}) {
    test::CtMaker ct;
    ct.volume = test::thorax(patient[0]);
    ct.patient_id = patient;
    ct.study_uid = fmt::format("1.2.3.{}", int(patient[0]));
    ct.series_uid = ct.study_uid + ".1";
    ct.write(folder / patient);
  }
  const json j = info(folder.path());
  EXPECT_EQ(j.at("studies"), 2);
  ASSERT_EQ(j.at("choices").size(), 2u);
  for (const json& choice : j.at("choices")) {
    EXPECT_TRUE(choice.at("passed_over").empty()) << "series of two patients are no rivals";
    EXPECT_FALSE(choice.at("chosen").is_null()) << choice;
  }
  const auto text = run_binary("info " + folder.path().string()).out;
  EXPECT_EQ(text.find("unreadable_because"), std::string::npos) << text;
  const json one = info(folder / "a");
  EXPECT_EQ(one.at("chosen"), one.at("series")[0].at("uid"));
  EXPECT_EQ(one.at("series")[0].at("readable"), true);
}

TEST(InfoCommand, RefusesWhatItDoesNotKnow) {
  TemporaryFolder folder;
  write_file(folder / "notes.txt", "hello");
  for (const fs::path& path : {folder / "notes.txt", folder.path(), folder / "absent"}) {
    const auto result = run_binary("info " + path.string());
    EXPECT_EQ(result.exit_code, fs::exists(path) ? 1 : 2) << path;
    EXPECT_TRUE(result.out.empty()) << result.out;
    EXPECT_CONTAINS(result.err, path.string());
  }
}

TEST(InfoCommand, TellsASeriesItsProblemsAndTheChoice) {
  X2CTPA_NEEDS_REAL_DATA("ct_dicom");
  const fs::path real = test::real_data("");
  const json j = info(real / "dicom_cases/series/duplicate_position");
  ASSERT_EQ(j.at("series").size(), 1u);
  EXPECT_EQ(j.at("chosen"), j.at("series")[0].at("uid"));
  EXPECT_EQ(j.at("series")[0].at("problems"), json::array({"duplicate-position"}));
  EXPECT_TRUE(info(real / "dicom_cases/series/wrong_modality").at("chosen").is_null());
}

TEST(InfoCommand, TellsWhyASeriesCannotBeChosenWithCodesAndNull) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases");
  const fs::path cases = test::real_data("dicom_cases/series");
  for (const auto& [name, code] :
       std::map<std::string, std::string>{{"missing_slices", "gap"},
                                          {"no_pixel_spacing", "no-geometry"},
                                          {"wrong_modality", "wrong-modality"}}) {
    const json j = info(cases / name);
    EXPECT_TRUE(j.at("chosen").is_null()) << name;
    EXPECT_CONTAINS(j.at("reason").get<std::string>(), code);
    const auto problems = j.at("series")[0].at("problems").get<std::vector<std::string>>();
    EXPECT_NE(std::find(problems.begin(), problems.end(), code), problems.end()) << name;
  }
  const json two = info(cases / "two_series_one_folder");
  EXPECT_EQ(two.at("series").size(), 2u);
  EXPECT_EQ(two.at("passed_over").size(), 1u);
}

TEST(InfoCommand, TellsASingleCtFileAndABrokenOneInTheSameKeys) {
  X2CTPA_NEEDS_REAL_DATA("dicom_cases");
  const json one = info(test::real_data("dicom_cases/transfer_syntax/CTImage.dcm"));
  EXPECT_EQ(one.at("series")[0].at("size"), json({512, 512, 1}));
  EXPECT_EQ(one.at("series")[0].at("hu_max"), 1378);
  EXPECT_EQ(one.at("series")[0].at("problems"), json::array({"too-few-slices"}));
  const json broken = info(test::real_data("dicom_cases/broken_files/CT_fodicom_GH179B.dcm"));
  EXPECT_TRUE(broken.at("chosen").is_null());
  EXPECT_EQ(broken.at("series")[0].at("problems"), json::array({"unreadable-file"}));
}

TEST(OptionsReference, TheDocumentEqualsTheDeclarations) {
  const std::string document = read_file(fs::path(X2CTPA_SOURCE_DIR) / "docs/options.md");
  EXPECT_EQ(document, options_reference()) << "run scripts/update_docs.sh";
}

}  // namespace
}  // namespace x2ctpa
