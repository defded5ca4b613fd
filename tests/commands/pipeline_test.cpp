// The main job through the program, at a size of seconds: what each command leaves, and what
// running it again, resuming it and breaking it do.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>
#include <utility>

#include "commands/pipeline_fixture.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::Pipeline;

TEST_F(Pipeline, LeavesEveryArtefactOfTheContract) {
  for (const char* file :
       {"phantom/manifest.csv", "dataset/index.csv", "dataset/dataset.json",
        "vae/model/config.yaml", "vae/model/model.safetensors", "vae/metrics.jsonl",
        "vae/reconstruction.csv", "vae/resolved.yaml", "diffusion/model/model.safetensors",
        "diffusion/model/autoencoder/model.safetensors", "samples/samples.csv",
        "classifier/cxr/scores.csv", "classifier/ctpa/scores.csv",
        "classifier/generated/scores.csv", "evaluation/report.html", "evaluation/metrics.json",
        "evaluation/table.csv", "evaluation/per_case.csv"}) {
    EXPECT_TRUE(fs::exists(root_ / "run" / file)) << file;
  }
}

TEST_F(Pipeline, EveryModelFolderCanBePublishedAndIsVerified) {
  const CsvTable cases = CsvTable::read(root_ / "run/dataset/index.csv");
  for (const char* folder : {"vae", "diffusion", "classifier/cxr", "classifier/generated"}) {
    const fs::path model = root_ / "run" / folder / "model";
    const std::string card = read_file(model / "README.md");
    EXPECT_EQ(card.rfind("---\nlicense: ", 0), 0u) << folder;
    for (const char* part : {"| train | 8 |", "val_loss", "not for diagnosis", "steps: "}) {
      EXPECT_NE(card.find(part), std::string::npos) << folder << ": " << part;
    }
    for (size_t row = 0; row < cases.size(); ++row) {
      EXPECT_EQ(card.find(cases.at(row, "id")), std::string::npos) << folder;
      EXPECT_EQ(card.find(cases.at(row, "patient_id")), std::string::npos) << folder;
    }
    EXPECT_EQ(card.find(root_.string()), std::string::npos) << folder << ": a path of this machine";
    const auto info = test::run_binary("info " + model.string());
    EXPECT_EQ(info.exit_code, 0) << info.err;
    EXPECT_NE(info.out.find("are as they were written"), std::string::npos) << info.out;
    EXPECT_NE(info.out.find("library_name: x2ctpa"), std::string::npos) << info.out;
  }
}

TEST_F(Pipeline, AModelWithOneFlippedByteIsRefusedByInfo) {
  copy_run("flipped");
  const fs::path file = root_ / "flipped/diffusion/model/autoencoder/model.safetensors";
  std::string weights = read_file(file);
  weights[weights.size() - 7] ^= 1;
  write_file(file, weights);
  const auto info = test::run_binary("info " + (root_ / "flipped/diffusion/model").string());
  EXPECT_EQ(info.exit_code, 1);
  EXPECT_NE(info.err.find("autoencoder/model.safetensors has another content"), std::string::npos)
      << info.err;
}

TEST_F(Pipeline, ATrainingThatLostItsLastStepsEndsInTheSameWeights) {
  const std::pair<const char*, const char*> stages[] = {
      {"train-vae", "vae"},
      {"train-diffusion", "diffusion"},
      {"classify train --arm cxr", "classifier/cxr"}};
  for (const auto& [command, folder] : stages) {
    copy_run("resumed");
    const fs::path stage = root_ / "resumed" / folder;
    const std::string before = sha256_of_file(stage / "model" / "model.safetensors");
    fs::path newest;
    for (const auto& entry : fs::directory_iterator(stage / "checkpoints")) {
      if (entry.path().extension() == ".safetensors") newest = std::max(newest, entry.path());
    }
    fs::remove(newest);
    fs::remove(stage / "model" / "model.safetensors");
    const auto result = x2ctpa(command, "resumed");
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find("going on from step"), std::string::npos) << result.err;
    EXPECT_EQ(sha256_of_file(stage / "model" / "model.safetensors"), before) << command;
  }
}

TEST_F(Pipeline, ADamagedCheckpointIsPassedOverForTheOneBefore) {
  copy_run("damaged");
  const fs::path stage = root_ / "damaged" / "vae";
  const std::string before = sha256_of_file(stage / "model" / "model.safetensors");
  const fs::path newest = stage / "checkpoints" / "step-000000006.safetensors";
  fs::resize_file(newest, fs::file_size(newest) / 2);
  const auto result = x2ctpa("train-vae", "damaged");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("passed over"), std::string::npos) << result.err;
  EXPECT_EQ(sha256_of_file(stage / "model" / "model.safetensors"), before);
}

TEST_F(Pipeline, EvaluationMeasuresTheAutoencoderAlone) {
  const auto table = CsvTable::read(root_ / "run" / "evaluation" / "image_quality.csv");
  int autoencoder = 0, regression = 0;
  for (size_t row = 0; row < table.size(); ++row) {
    autoencoder += table.at(row, "compared") == "autoencoder";
    regression += table.at(row, "compared") == "regression";
  }
  EXPECT_GT(autoencoder, 5);
  EXPECT_EQ(regression, 0) << "the model has no mean";
}

TEST_F(Pipeline, OtherSettingsThanTheCheckpointsAreRefusedWithTheDifference) {
  const auto result = x2ctpa("train-vae --vae.train.learning_rate 0.5");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("learning_rate: 0.5"), std::string::npos) << result.err;
}

TEST_F(Pipeline, SamplingAgainDoesNothingAndSaysSo) {
  const auto result = x2ctpa("sample --split all");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.err.find("nothing to do"), std::string::npos) << result.err;
}

TEST_F(Pipeline, ACaseMadeAloneEqualsTheOneMadeInTheBatch) {
  const auto samples = CsvTable::read(root_ / "run" / "samples" / "samples.csv");
  const std::string id = samples.at(5, "case_id");
  const auto alone =
      x2ctpa("sample --sample.batch_size 1 --split all --out " + (root_ / "alone").string());
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  // Of the dataset's own X-rays the number is told, not each.
  EXPECT_EQ(alone.err.find("is unlike the X-rays"), std::string::npos) << alone.err;
  const auto a = read_volume(root_ / "alone" / (id + ".nii.gz")),
             b = read_volume(root_ / "run" / "samples" / (id + ".nii.gz"));
  EXPECT_LE((a.hu - b.hu).abs().max().item<double>(), 1.0);

  for (const char* batch : {"1", "4"}) {
    const auto result =
        x2ctpa(std::string("sample --deterministic --split test --sample.batch_size ") + batch +
               " --out " + (root_ / "deterministic").string() + batch);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  for (const auto& entry : fs::directory_iterator(root_ / "deterministic1")) {
    if (entry.path().extension() != ".gz") continue;
    EXPECT_TRUE(at::equal(read_volume(entry.path()).hu,
                          read_volume(root_ / "deterministic4" / entry.path().filename()).hu));
  }
}

TEST_F(Pipeline, SamplingInBfloat16StaysCloseToFloat32OrSaysThatItIsFloat32) {
  const auto result =
      x2ctpa("sample --precision bf16 --split test --out " + (root_ / "bf16").string());
  ASSERT_EQ(result.exit_code, 0) << result.err;
  RuntimeOptions runtime;
  runtime.precision = Precision::bf16;
  const bool has_bf16 = compute_type(runtime) == c10::kBFloat16;
  EXPECT_EQ(result.err.find("fp32 is used") == std::string::npos, has_bf16) << result.err;
  int volumes = 0;
  for (const auto& entry : fs::directory_iterator(root_ / "bf16")) {
    if (entry.path().extension() != ".gz") continue;
    const auto a = read_volume(entry.path()).hu,
               b = read_volume(root_ / "run" / "samples" / entry.path().filename()).hu;
    EXPECT_EQ(at::equal(a, b), !has_bf16) << entry.path();
    EXPECT_LT((a - b).abs().mean().item<double>(), 20) << entry.path();
    ++volumes;
  }
  EXPECT_GT(volumes, 0);
}

TEST_F(Pipeline, ABadXrayInAFolderIsListedAndTheOthersAreMade) {
  const fs::path folder = root_ / "xrays";
  fs::create_directories(folder);
  fs::copy(root_ / "run" / "phantom" / "P0001" / "cxr.dcm", folder / "good.dcm",
           fs::copy_options::overwrite_existing);
  write_file(folder / "bad.png", "%PDF-1.4 not a picture");
  const auto result =
      x2ctpa("sample --cxr " + folder.string() + " --out " + (root_ / "made").string());
  EXPECT_EQ(result.exit_code, 3) << result.err;
  EXPECT_TRUE(fs::exists(root_ / "made" / "good.nii.gz"));
  EXPECT_EQ(CsvTable::read(root_ / "made" / "failures.csv").at(0, "name"), "bad");
  EXPECT_NE(summarise_volume(root_ / "made" / "good.nii.gz").description.find("SYNTHETIC"),
            std::string::npos);
}

TEST_F(Pipeline, AnXrayGivesTheSameVolumeFromItsPathAndFromAFolderAbove) {
  const fs::path tree = root_ / "tree";
  fs::create_directories(tree / "clinic" / "monday");
  fs::copy(root_ / "run" / "phantom" / "P0001" / "cxr.dcm", tree / "clinic" / "monday" / "a.dcm");
  fs::copy(root_ / "run" / "phantom" / "P0002" / "cxr.dcm", tree / "b.dcm");
  ASSERT_EQ(
      x2ctpa("sample --cxr " + tree.string() + " --out " + (root_ / "of_tree").string()).exit_code,
      0);
  ASSERT_EQ(x2ctpa("sample --cxr " + (tree / "clinic" / "monday" / "a.dcm").string() + " --out " +
                   (root_ / "of_path").string())
                .exit_code,
            0);
  const auto a = read_volume(root_ / "of_tree" / "clinic_monday_a.nii.gz"),
             b = read_volume(root_ / "of_path" / "a.nii.gz");
  EXPECT_LE((a.hu - b.hu).abs().max().item<double>(), 1.0);
}

TEST_F(Pipeline, ThePublishedScaleAndLabelGuidanceAreTrainedAndSampled) {
  fs::create_directories(root_ / "labelled");
  for (const char* part : {"dataset", "vae"}) {
    fs::copy(root_ / "run" / part, root_ / "labelled" / part, fs::copy_options::recursive);
  }
  const auto trained = x2ctpa(
      "train-diffusion --diffusion.denoiser.label_guidance true --diffusion.latent_scale range "
      "--diffusion.process.prediction noise",
      "labelled");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_NE(
      read_file(root_ / "labelled" / "diffusion" / "model" / "diffusion.yaml").find("x0_limit: 1"),
      std::string::npos);
  const auto sampled = x2ctpa("sample", "labelled");
  EXPECT_EQ(sampled.exit_code, 0) << sampled.err;
}

TEST_F(Pipeline, WrongUseEndsWithTheCodeAndTheAdviceOfTheContract) {
  const auto unknown = x2ctpa("sample --sample.sampler.stepps 3");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_NE(unknown.err.find("sample.sampler.steps"), std::string::npos) << unknown.err;
  EXPECT_EQ(x2ctpa("sample --cxr /nonexistent").exit_code, 2);
  EXPECT_EQ(x2ctpa("sample --split all", "nowhere").exit_code, 2);
  EXPECT_EQ(
      x2ctpa("sample --out " + (root_ / "m").string() + " --model " + root_.string()).exit_code, 1);
  fs::create_directories(root_ / "empty");
  EXPECT_EQ(x2ctpa("sample --cxr " + (root_ / "empty").string()).exit_code, 2);
}

TEST_F(Pipeline, APublishedAutoencoderAndAFrozenEncoderServeInPlaceOfOurs) {
  AutoencoderKlOptions kl;
  kl.block_out_channels = {8, 8};
  kl.layers_per_block = 1;
  kl.norm_num_groups = 4;
  save_module(root_ / "kl", *AutoencoderKl(kl), options_to_yaml(kl));
  VisionTransformerOptions vit{.image_size = 32,
                               .patch_size = 8,
                               .width = 16,
                               .depth = 1,
                               .heads = 2,
                               .mlp_width = 32,
                               .output_dim = 8};
  save_module(root_ / "vit", *VisionTransformer(vit), options_to_yaml(vit));
  fs::create_directories(root_ / "published");
  fs::copy(root_ / "run" / "dataset", root_ / "published" / "dataset", fs::copy_options::recursive);
  const auto trained = x2ctpa("train-diffusion --vae " + (root_ / "kl").string() +
                                  " --cxr-encoder " + (root_ / "vit").string(),
                              "published");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto sampled = x2ctpa("sample", "published");
  ASSERT_EQ(sampled.exit_code, 0) << sampled.err;
  const auto again = x2ctpa("train-diffusion --vae " + (root_ / "kl").string() + " --cxr-encoder " +
                                (root_ / "vit").string(),
                            "published");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.err.find("encoding X-rays"), std::string::npos) << "the frozen encoder ran again";
  fs::create_directories(root_ / "finetuned");
  fs::copy(root_ / "run" / "dataset", root_ / "finetuned" / "dataset", fs::copy_options::recursive);
  const auto finetuned =
      x2ctpa("train-diffusion --vae " + (root_ / "kl").string() + " --cxr-encoder " +
                 (root_ / "vit").string() + " --diffusion.denoiser.cxr_encoder finetuned",
             "finetuned");
  ASSERT_EQ(finetuned.exit_code, 0) << finetuned.err;
  const auto name = "trunk.blocks.0.mlp.fc1.weight";
  const auto start = read_safetensors(root_ / "vit" / "model.safetensors").at(name);
  const auto end =
      read_safetensors(root_ / "finetuned" / "diffusion" / "model" / "model.safetensors")
          .at(std::string("transformer.") + name);
  EXPECT_FALSE(at::equal(start, end)) << "the encoder was not trained";
  EXPECT_LT((start - end).abs().max().item<double>(), 0.1)
      << "the encoder did not start from its weights";
  EXPECT_EQ(x2ctpa("sample", "finetuned").exit_code, 0);
  fs::create_directories(root_ / "by_tokens");
  fs::copy(root_ / "run" / "dataset", root_ / "by_tokens" / "dataset", fs::copy_options::recursive);
  const auto by_tokens =
      x2ctpa("train-diffusion --vae " + (root_ / "kl").string() + " --cxr-encoder " +
                 (root_ / "vit").string() +
                 " --diffusion.denoiser.unet.cond_tokens 17",  // 16 patches and the class token
             "by_tokens");
  EXPECT_EQ(by_tokens.exit_code, 0) << by_tokens.err;
  EXPECT_EQ(x2ctpa("sample", "by_tokens").exit_code, 0);
  const auto samples = CsvTable::read(root_ / "published" / "samples" / "samples.csv");
  const auto volume = read_volume(root_ / "published" / "samples" / samples.at(0, "file"));
  EXPECT_EQ(volume.size_dhw(), (std::array<int64_t, 3>{8, 16, 16}));
}

TEST_F(Pipeline, CtrlCInEachLongCommandEndsWith130AndTheNextRunGoesOn) {
  copy_run("interrupted");
  const fs::path run = root_ / "interrupted";
  for (const char* folder : {"phantom", "dataset", "vae", "diffusion", "samples", "classifier"})
    fs::remove_all(run / folder);
  const std::pair<const char*, const char*> longer[] = {
      {"phantom", "--phantom.patients 400"},
      {"train-vae", "--vae.train.steps 100000"},
      {"train-diffusion", "--diffusion.train.steps 100000"},
      {"sample --split all", "--sample.sampler.steps 900 --sample.batch_size 1"},
      {"classify train --arm ctpa", "--classifier.train.steps 100000"}};
  for (const auto& [command, flags] : longer) {
    const std::string line = fmt::format("{} {}", command, flags);
    if (std::string(command) == "train-vae")
      fs::copy(root_ / "run" / "dataset", run / "dataset", fs::copy_options::recursive);
    if (std::string(command) == "train-diffusion") {
      fs::remove_all(run / "vae");
      fs::copy(root_ / "run" / "vae", run / "vae", fs::copy_options::recursive);
    }
    if (std::string(command).rfind("sample", 0) == 0) {
      fs::remove_all(run / "diffusion");
      fs::copy(root_ / "run" / "diffusion", run / "diffusion", fs::copy_options::recursive);
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
      const auto result = test::run_binary(
          line + " --config " + (root_ / "tiny.yaml").string() + " --run " + run.string(),
          "timeout --preserve-status -s INT 2.5 ");
      EXPECT_EQ(result.exit_code, 130) << command << ": " << result.err;
      EXPECT_NE(result.err.find("goes on"), std::string::npos) << result.err;
      if (attempt == 1 && std::string(command).rfind("train", 0) == 0) {
        EXPECT_NE(result.err.find("going on from step"), std::string::npos) << result.err;
      }
    }
    for (const auto& entry : fs::recursive_directory_iterator(run)) {
      EXPECT_NE(entry.path().filename().string().rfind(".part", 0), 0u)
          << "left behind: " << entry.path();
    }
  }
}

TEST_F(Pipeline, AFullDiskIsReportedLeavesNothingHalfWrittenAndTheNextRunGoesOn) {
  const fs::path out = root_ / "full";
  // A limit on the size of a file fails a write as a full disk does.
  const auto full =
      test::run_binary("sample --split all --config " + (root_ / "tiny.yaml").string() + " --run " +
                           (root_ / "run").string() + " --out " + out.string(),
                       "ulimit -f 2; ");
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_NE(full.err.find("annot write"), std::string::npos) << full.err;
  for (const auto& entry : fs::directory_iterator(out))
    EXPECT_NE(entry.path().extension(), ".gz") << entry.path();
  const auto after = x2ctpa("sample --split all --out " + out.string());
  EXPECT_EQ(after.exit_code, 0) << after.err;
}

TEST_F(Pipeline, AModelOfAnotherShapeIsRefusedWithTheTensor) {
  copy_run("reshaped");
  const fs::path config = root_ / "reshaped" / "diffusion" / "model" / "config.yaml";
  std::string text = read_file(config);
  text.replace(text.find("dim: 8"), 6, "dim: 16");
  write_file(config, text);
  const auto result = x2ctpa("sample --split all --out " + (root_ / "never").string(), "reshaped");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("model.safetensors"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("unet."), std::string::npos) << result.err;
}

}  // namespace
}  // namespace x2ctpa
