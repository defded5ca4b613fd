// Trainings that are stopped, killed and broken, through the program.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "commands/training_fixture.h"

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::Stage;
using test::stages;
using test::TinyTraining;

const char* last_checkpoint = "checkpoints/step-000000200.safetensors";

TEST_F(TinyTraining, KilledAndStoppedItEndsAsIfUndisturbedBitForBit) {
  for (const Stage& stage : stages) {
    const fs::path whole = new_run("whole") / stage.folder,
                   broken = new_run("broken") / stage.folder;
    ASSERT_EQ(x2ctpa(stage.command, "whole").exit_code, 0);
    const auto killed =
        x2ctpa(stage.command, "broken", signal_at(broken / "metrics.jsonl", 73, "KILL"));
    ASSERT_EQ(killed.exit_code, 137) << killed.err;
    const auto stopped =
        x2ctpa(stage.command, "broken", signal_at(broken / "metrics.jsonl", 137, "TERM"));
    ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
    EXPECT_NE(stopped.err.find("going on from step"), std::string::npos) << stopped.err;
    const auto last = x2ctpa(stage.command, "broken");
    ASSERT_EQ(last.exit_code, 0) << last.err;
    EXPECT_EQ(last.err.find("going on from step 200"), std::string::npos)
        << "it had ended before the signal";
    // Weights, average, moments, counters and settings are in it.
    EXPECT_TRUE(read_file(whole / last_checkpoint) == read_file(broken / last_checkpoint))
        << stage.command;
    EXPECT_TRUE(read_file(whole / "model/model.safetensors") ==
                read_file(broken / "model/model.safetensors"))
        << stage.command;
    EXPECT_EQ(metrics(whole / "metrics.jsonl"), metrics(broken / "metrics.jsonl"));
  }
}

TEST_F(TinyTraining, AMeanAndARefinerSurviveAStopBitForBitAndTheModelSamples) {
  const std::string command =
      "train-diffusion --diffusion.denoiser.mean linear --diffusion.train.steps 12 "
      "--diffusion.prior.components 4 "
      "--diffusion.refiner.kind frontal --diffusion.refiner.train.steps 30 "
      "--diffusion.refiner.train.validate_every 15 --diffusion.refiner.train.checkpoint_every 5 "
      "--diffusion.refiner.train.log_every 1 "
      "--diffusion.refiner.model.width 8 --diffusion.refiner.model.inner_width 8";
  const fs::path whole = new_run("mean_whole") / "diffusion",
                 broken = new_run("mean_broken") / "diffusion";
  const auto all = x2ctpa(command, "mean_whole");
  ASSERT_EQ(all.exit_code, 0) << all.err;
  EXPECT_NE(all.err.find("the linear mean of"), std::string::npos) << all.err;
  EXPECT_NE(read_file(whole / "model/README.md").find("| `refiner_val_loss` |"), std::string::npos);
  const auto stopped =
      x2ctpa(command, "mean_broken", signal_at(broken / "refiner/metrics.jsonl", 9, "TERM"));
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  const auto resumed = x2ctpa(command, "mean_broken");
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("the linear mean is the one in"), std::string::npos) << resumed.err;
  for (const char* file : {"model.safetensors", "mean/model.safetensors", "prior/model.safetensors",
                           "refiner/model.safetensors"})
    EXPECT_TRUE(read_file(whole / "model" / file) == read_file(broken / "model" / file)) << file;
  // Cases of the fit are made as if they were new: by the mean of a fit without them.
  const auto sampled = x2ctpa("sample --split all --sample.sampler.steps 2", "mean_whole");
  ASSERT_EQ(sampled.exit_code, 0) << sampled.err;
  const fs::path run = whole.parent_path();
  fs::rename(whole / "means", whole / "means_away");
  const auto plain =
      x2ctpa("sample --split all --sample.sampler.steps 2 --out " + (run / "plain").string(),
             "mean_whole");
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  const CsvTable index = CsvTable::read(run / "dataset/index.csv");
  for (size_t row = 0; row < index.size(); ++row) {
    const std::string id = index.at(row, "id");
    const bool training = index.at(row, "split") == "train";
    EXPECT_EQ(read_volume(run / "samples" / (id + ".nii.gz"))
                  .hu.equal(read_volume(run / "plain" / (id + ".nii.gz")).hu),
              !training)
        << id;
    EXPECT_EQ(
        read_file(run / "samples" / (id + ".json")).find("fitted without") != std::string::npos,
        training)
        << id;
  }
}

TEST_F(TinyTraining, AMeanThatIsDamagedOrOfOtherSettingsIsFittedAnew) {
  const std::string command =
      "train-diffusion --diffusion.denoiser.mean linear --max-steps 1 --force";
  const fs::path mean = new_run("mean_anew") / "diffusion/mean";
  const auto fitted_anew = [&](const std::string& more) {
    return x2ctpa(command + more, "mean_anew").err.find("the linear mean of") != std::string::npos;
  };
  EXPECT_TRUE(fitted_anew(""));
  const std::string fit = read_file(mean / "fit.safetensors");
  EXPECT_FALSE(fitted_anew(""));
  EXPECT_TRUE(fitted_anew(" --diffusion.linear_mean.side 8"));
  EXPECT_TRUE(fitted_anew(""));
  EXPECT_TRUE(read_file(mean / "fit.safetensors") == fit);
  write_file(mean / "fit.safetensors", fit.substr(0, fit.size() / 2));
  EXPECT_TRUE(fitted_anew(""));
  fs::resize_file(mean / "model.safetensors", 100);
  EXPECT_TRUE(fitted_anew(""));
}

TEST_F(TinyTraining, AnAutoencoderOfAnotherKindThanTheExperimentNamesIsRefused) {
  const fs::path run = new_run("other_kind");
  std::string text = read_file(root_ / "tiny.yaml");
  text.insert(text.find("vae: {") + 6, "kind: conv, ");
  write_file(root_ / "other_kind.yaml", text);
  const std::string command = fmt::format("train-diffusion --max-steps 1 --config {} --run {}",
                                          (root_ / "other_kind.yaml").string(), run.string());
  const auto refused = test::run_binary(command);
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  for (const char* part : {"other_kind.yaml", "of vae.kind conv in", "one of kind vqgan", "--vae "})
    EXPECT_NE(refused.err.find(part), std::string::npos) << refused.err;
  const auto taken = test::run_binary(command + " --vae " + (run / "vae/model").string());
  EXPECT_EQ(taken.exit_code, 130) << taken.err;
}

TEST_F(TinyTraining, ARefinerWithoutAMeanIsRefused) {
  new_run("no_mean");
  const auto result = x2ctpa("train-diffusion --diffusion.refiner.kind frontal", "no_mean");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("denoiser.mean linear"), std::string::npos) << result.err;
}

TEST_F(TinyTraining, MaxStepsStopsWithACheckpointAndTheSameCommandGoesOn) {
  const fs::path run = new_run("limited");
  const auto first = x2ctpa("train-diffusion --max-steps 7", "limited");
  EXPECT_EQ(first.exit_code, 130) << first.err;
  EXPECT_EQ(first.err.find("error"), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("as --max-steps"), std::string::npos) << first.err;
  EXPECT_TRUE(fs::exists(run / "diffusion/checkpoints/step-000000007.safetensors"));
  EXPECT_EQ(x2ctpa("train-diffusion --max-steps 3", "limited").exit_code, 130);
  EXPECT_TRUE(fs::exists(run / "diffusion/checkpoints/step-000000010.safetensors"));
  EXPECT_EQ(x2ctpa("train-diffusion --max-hours 0.00001", "limited").exit_code, 130);
  EXPECT_TRUE(fs::exists(run / "diffusion/checkpoints/step-000000011.safetensors"));
}

TEST_F(TinyTraining, ADryRunTellsThePlanAndTrainsNothing) {
  const fs::path run = new_run("dry");
  const auto result = x2ctpa("train-vae --dry-run", "dry");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"parameters", "200 steps", "at its peak"}) {
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  for (const char* file : {"checkpoints", "metrics.jsonl", "log.txt", "tensorboard"}) {
    EXPECT_FALSE(fs::exists(run / "vae" / file)) << file;
  }
}

TEST_F(TinyTraining, AFullDiskDuringACheckpointIsNamedAndLosesNothing) {
  const fs::path run = new_run("full");
  ASSERT_EQ(x2ctpa("train-diffusion --max-steps 5", "full").exit_code, 130);
  // No file may become larger than 16 KiB from here on; checkpoints are.
  const auto full =
      x2ctpa("train-diffusion --diffusion.train.checkpoint_every 8", "full", "ulimit -f 16; ");
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_NE(full.err.find("cannot write"), std::string::npos) << full.err;
  const auto after = x2ctpa("train-diffusion --max-steps 1", "full");
  EXPECT_EQ(after.exit_code, 130) << after.err;
  EXPECT_NE(after.err.find("going on from step 5 "), std::string::npos) << after.err;
}

TEST_F(TinyTraining, AMissingVolumeInTheMiddleIsNamedAndTheStateBeforeIsSaved) {
  const fs::path run = new_run("missing");
  fs::remove(run / "dataset");
  fs::copy(root_ / "base" / "dataset", run / "dataset", fs::copy_options::recursive);
  ASSERT_EQ(x2ctpa("train-vae --max-steps 2", "missing").exit_code, 130);
  for (const auto& entry : fs::directory_iterator(run / "dataset" / "ct")) {
    fs::remove(entry.path());
  }
  const auto result = x2ctpa("train-vae", "missing");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("case "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("after step 2"), std::string::npos) << result.err;
}

TEST_F(TinyTraining, ANaNInOneLatentStopsTheRunWithItsCaseAndAGoodCheckpoint) {
  const fs::path run = new_run("nan");
  ASSERT_EQ(x2ctpa("train-diffusion --max-steps 4", "nan").exit_code, 130);
  const auto index = CsvTable::read(run / "dataset" / "index.csv");
  size_t row = 0;
  while (index.at(row, "split") != "train") ++row;
  const fs::path folder = fs::directory_iterator(run / "diffusion" / "latents")->path();
  const fs::path latent = folder / (index.at(row, "id") + ".safetensors");
  auto tensors = read_safetensors(latent);
  tensors["latent"] = tensors["latent"].clone();
  tensors["latent"].view(-1)[5] = NAN;
  const auto metadata = read_safetensors_metadata(latent);
  write_safetensors(latent, tensors, metadata);
  const auto result = x2ctpa("train-diffusion", "nan");
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("case " + latent.stem().string()), std::string::npos) << result.err;
  EXPECT_TRUE(fs::exists(run / "diffusion/checkpoints/step-000000004.safetensors"));
}

TEST_F(TinyTraining, AFinishedTrainingDoesNotMeasureItsReconstructionAgain) {
  const fs::path run = new_run("finished");
  const std::string command = "train-vae --steps 4";
  ASSERT_EQ(x2ctpa(command, "finished").exit_code, 0);
  write_file(run / "vae/reconstruction.csv", "case_id,psnr_db\nmine,1\n");
  const auto again = x2ctpa(command, "finished");
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("is finished after 4 steps"), std::string::npos) << again.err;
  EXPECT_EQ(CsvTable::read(run / "vae/reconstruction.csv").at(0, "case_id"), "mine");
  // A longer one goes on, and measures what it has become.
  const auto refused = x2ctpa("train-vae --steps 6", "finished");
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_NE(refused.err.find("With --force a training that has ended goes on"), std::string::npos)
      << refused.err;
  const auto longer = x2ctpa("train-vae --steps 6 --force", "finished");
  EXPECT_EQ(longer.exit_code, 0) << longer.err;
  EXPECT_NE(longer.err.find("going on from step 4 of 6"), std::string::npos) << longer.err;
  EXPECT_NE(CsvTable::read(run / "vae/reconstruction.csv").at(0, "case_id"), "mine");
}

TEST_F(TinyTraining, WithoutValidationCasesEveryStageTrainsToItsEndAndSaysSo) {
  const fs::path run = new_run("unvalidated");
  fs::remove(run / "dataset");
  fs::copy(root_ / "base" / "phantom", run / "phantom", fs::copy_options::recursive);
  ASSERT_EQ(x2ctpa("preprocess --splits 0.8,0,0.2", "unvalidated").exit_code, 0);
  for (const Stage& stage : stages) {
    const std::string section = stage.folder.substr(0, stage.folder.find('/'));
    const auto result =
        x2ctpa(fmt::format("{0} --steps 6 --{1}.train.validate_every 2 --{1}.train.keep_best true "
                           "--{1}.train.patience 1",
                           stage.command, section),
               "unvalidated");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find("there is no validation case"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("finished after 6 steps"), std::string::npos) << result.err;
    EXPECT_EQ(result.err.find("one class"), std::string::npos) << result.err;
    EXPECT_EQ(read_file(run / stage.folder / "metrics.jsonl").find("val_loss"), std::string::npos);
  }
}

TEST_F(TinyTraining, SettingsThatChangeNothingMayChangeBetweenCalls) {
  new_run("free");
  ASSERT_EQ(x2ctpa("train-vae --max-steps 3", "free").exit_code, 130);
  const auto result = x2ctpa(
      "train-vae --max-steps 3 --vae.train.checkpoint_every 7 --vae.train.log_every 5", "free");
  EXPECT_EQ(result.exit_code, 130) << result.err;
}

}  // namespace
}  // namespace x2ctpa
