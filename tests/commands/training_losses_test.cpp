// The published losses, and training that goes on from a model, through the program.
#include <torch/utils.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "commands/training_fixture.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class TrainingLosses : public test::TinyTraining {
 protected:
  // Networks that a user would convert or train, with random weights.
  static void SetUpTestSuite() {
    TinyTraining::SetUpTestSuite();
    torch::manual_seed(1);
    save_module(root_ / "lpips", *Lpips(), "");
    DenseNet3dOptions options;
    options.blocks = {1, 1};
    options.growth = 4;
    options.init_features = 4;
    options.channels = 4;
    save_module(root_ / "latent_classifier", *DenseNet3d(options), options_to_yaml(options));
  }

  static std::vector<json> lines(const fs::path& file) {
    std::istringstream text(read_file(file));
    std::vector<json> out;
    for (std::string line; std::getline(text, line);) out.push_back(json::parse(line));
    return out;
  }

  static std::string weights(const fs::path& model) {
    return read_file(model / "model.safetensors");
  }

  static void succeed(const std::string& arguments, const std::string& run) {
    const auto result = x2ctpa(arguments, run);
    ASSERT_EQ(result.exit_code, 0) << arguments << ": " << result.err;
  }
};

TEST_F(TrainingLosses, EachOneOfTheDenoiserShowsItsValueAndItsCostFromItsStartAndSurvivesAStop) {
  const std::string command =
      "train-diffusion --diffusion.train.steps 6 --lpips " + (root_ / "lpips").string() +
      " --classifier " + (root_ / "latent_classifier").string() +
      " --diffusion.loss.perceptual.weight 0.01 --diffusion.loss.perceptual.cases 1 "
      "--diffusion.loss.adversarial.weight 0.1"
      " --diffusion.loss.adversarial.start_step 2 --diffusion.loss.classification.weight 0.1 "
      "--diffusion.process.prediction noise"
      " --diffusion.loss.kind l1";
  const fs::path whole = new_run("losses_whole"), stopped = new_run("losses_stopped");
  succeed(command, "losses_whole");
  const auto metrics = lines(whole / "diffusion/metrics.jsonl");
  ASSERT_EQ(metrics.size(), 6u);
  for (const char* key : {"denoising", "perceptual", "perceptual_seconds", "classification",
                          "classification_seconds"}) {
    EXPECT_TRUE(metrics[0].contains(key)) << key;
  }
  for (const char* key : {"adversarial", "adversarial_seconds", "discriminator_loss"}) {
    EXPECT_FALSE(metrics[1].contains(key)) << key;
    EXPECT_TRUE(metrics[2].contains(key)) << key;
  }
  EXPECT_GT(metrics[3]["perceptual_seconds"].get<double>(), 0);
  const auto& last = metrics.back();
  EXPECT_NEAR(last["loss"].get<double>(),
              last["denoising"].get<double>() + 0.01 * last["perceptual"].get<double>() +
                  0.1 * last["adversarial"].get<double>() +
                  0.1 * last["classification"].get<double>(),
              1e-4);

  EXPECT_EQ(x2ctpa(command + " --max-steps 3", "losses_stopped").exit_code, 130);
  succeed(command, "losses_stopped");
  EXPECT_TRUE(weights(whole / "diffusion/model") == weights(stopped / "diffusion/model"));
}

TEST_F(TrainingLosses, AClassifierLearnsAlongWithTheDenoiserIsKeptAndSurvivesAStop) {
  const std::string command =
      "train-diffusion --diffusion.train.steps 6 --diffusion.loss.classification.weight 0.1 "
      "--diffusion.loss.classification.start_step 1 "
      "--diffusion.loss.classification.learning_rate 0.01 "
      "--diffusion.loss.classification.model.blocks 1,1 "
      "--diffusion.loss.classification.model.growth 4 "
      "--diffusion.loss.classification.model.init_features 4";
  const fs::path whole = new_run("joint_whole"), stopped = new_run("joint_stopped");
  succeed(command, "joint_whole");
  const auto metrics = lines(whole / "diffusion/metrics.jsonl");
  ASSERT_EQ(metrics.size(), 6u);
  EXPECT_FALSE(metrics[0].contains("classifier_loss"));
  for (const char* key : {"classification", "classifier_true", "classifier_found"})
    EXPECT_TRUE(metrics[1].contains(key)) << key;
  EXPECT_NEAR(metrics[1]["classifier_loss"].get<double>(),
              0.5 * (metrics[1]["classifier_true"].get<double>() +
                     metrics[1]["classifier_found"].get<double>()),
              1e-5);

  EXPECT_EQ(x2ctpa(command + " --max-steps 3", "joint_stopped").exit_code, 130);
  succeed(command, "joint_stopped");
  for (const char* model : {"diffusion/model", "diffusion/model/classifier"})
    EXPECT_TRUE(weights(whole / model) == weights(stopped / model)) << model;

  succeed("classify predict --arm ctpa --model " + (whole / "diffusion/model/classifier").string(),
          "joint_whole");
  EXPECT_TRUE(fs::exists(whole / "classifier/ctpa/scores.csv"));
}

TEST_F(TrainingLosses, EachOneOfTheVqganShowsItsValueFromItsStartAndSurvivesAStop) {
  const std::string command = "train-vae --vae.train.steps 10 --lpips " +
                              (root_ / "lpips").string() +
                              " --vae.loss.gan_start_step 2 --vae.loss.discriminator_channels 4 "
                              "--vae.loss.discriminator_layers 2 --vae.train.validate_every 5";
  const fs::path whole = new_run("gan_whole"), stopped = new_run("gan_stopped");
  succeed(command, "gan_whole");
  const auto metrics = lines(whole / "vae/metrics.jsonl");
  for (const char* key : {"l1", "commitment", "perceptual", "perplexity"})
    EXPECT_TRUE(metrics[0].contains(key)) << key;
  for (const char* key :
       {"gan_slices", "gan_volumes", "features", "discriminator_slices", "discriminator_volumes"}) {
    EXPECT_FALSE(metrics[1].contains(key)) << key;
    EXPECT_TRUE(metrics[2].contains(key)) << key;
  }
  EXPECT_FALSE(metrics[0].contains("epoch_perplexity"));
  EXPECT_TRUE(metrics.back().contains("epoch_perplexity")) << "an epoch has five batches";
  EXPECT_TRUE(metrics.back().contains("val_psnr_db"));

  EXPECT_EQ(x2ctpa(command + " --max-steps 3", "gan_stopped").exit_code, 130);
  succeed(command, "gan_stopped");
  EXPECT_TRUE(weights(whole / "vae/model") == weights(stopped / "vae/model"));
  EXPECT_EQ(TinyTraining::metrics(whole / "vae/metrics.jsonl"),
            TinyTraining::metrics(stopped / "vae/metrics.jsonl"));
}

TEST_F(TrainingLosses, TheConvolutionalAutoencoderTrainsSurvivesAStopAndServesTheDenoiser) {
  const std::string command =
      "train-vae --vae.kind conv --vae.conv.widths 4,6 --vae.conv.latent_channels 4 "
      "--vae.conv.downsample 2,4,4 --vae.conv.kl_weight 0.001 --vae.loss.squared_weight 1 "
      "--vae.loss.contrast_weight 1 --vae.loss.contrast_window_hu 0,300 "
      "--vae.augment_shift_voxels 1,2,2 --vae.train.steps 10 --vae.train.validate_every 5 "
      "--vae.train.ema_decay 0.9 --vae.train.learning_rate 1e-2 --vae.loss.gan_start_step 8 "
      "--vae.loss.discriminator_channels 4 --vae.loss.discriminator_layers 2 --lpips " +
      (root_ / "lpips").string();
  const fs::path whole = new_run("conv_whole"), stopped = new_run("conv_stopped");
  succeed(command, "conv_whole");
  const auto metrics = lines(whole / "vae/metrics.jsonl");
  for (const char* key : {"l1", "squared", "contrast", "kl", "perceptual"})
    EXPECT_TRUE(metrics[0].contains(key)) << key;
  EXPECT_TRUE(metrics.back().contains("features"));
  EXPECT_FALSE(metrics[0].contains("commitment"));
  EXPECT_LT(metrics[9]["val_loss"].get<double>(), metrics[4]["val_loss"].get<double>());
  EXPECT_NEAR(metrics[0]["loss"].get<double>(),
              4 * metrics[0]["l1"].get<double>() + metrics[0]["squared"].get<double>() +
                  metrics[0]["contrast"].get<double>() + 0.001 * metrics[0]["kl"].get<double>() +
                  4 * metrics[0]["perceptual"].get<double>(),
              1e-4);

  EXPECT_EQ(x2ctpa(command + " --max-steps 3", "conv_stopped").exit_code, 130);
  succeed(command, "conv_stopped");
  EXPECT_TRUE(weights(whole / "vae/model") == weights(stopped / "vae/model"));
  EXPECT_EQ(TinyTraining::metrics(whole / "vae/metrics.jsonl"),
            TinyTraining::metrics(stopped / "vae/metrics.jsonl"));

  succeed("train-diffusion --diffusion.train.steps 2", "conv_whole");
  EXPECT_TRUE(fs::exists(whole / "diffusion/model/autoencoder/config.yaml"));
}

TEST_F(TrainingLosses, AContrastWindowBeyondThatOfTheDatasetIsRefused) {
  new_run("contrast");
  const auto result = x2ctpa(
      "train-vae --vae.kind conv --vae.conv.downsample 2,4,4 --vae.loss.contrast_weight 1 "
      "--vae.loss.contrast_window_hu 600,900",
      "contrast");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("contrast_window_hu"), std::string::npos) << result.err;
}

TEST_F(TrainingLosses, ACollapsedCodebookIsToldOfAndDrawnAnew) {
  new_run("collapse");
  const auto result =
      x2ctpa("train-vae --vae.train.steps 10 --vae.loss.collapse_perplexity 1", "collapse");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("the codebook has collapsed"), std::string::npos) << result.err;
}

TEST_F(TrainingLosses, ALossWithoutItsNetworkIsOffAndSaysSo) {
  new_run("without");
  const auto result =
      x2ctpa("train-diffusion --diffusion.train.steps 2 --diffusion.loss.perceptual.weight 0.01",
             "without");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("the perceptual loss is off"), std::string::npos) << result.err;
  EXPECT_EQ(x2ctpa("train-diffusion --diffusion.train.steps 2 --diffusion.loss.perceptual.weight "
                   "0.01 --lpips /nowhere",
                   "without")
                .exit_code,
            2);
}

TEST_F(TrainingLosses, LowRankUpdatesOfAModelChangeItsLayersAndNothingElseAndItSamples) {
  const fs::path base = new_run("init_base"), tuned = new_run("init_lora");
  succeed("train-diffusion --diffusion.train.steps 3", "init_base");
  succeed(
      "train-diffusion --diffusion.train.steps 4 --diffusion.lora.rank 2 "
      "--diffusion.lora.conv_rank 1 --init " +
          (base / "diffusion/model").string(),
      "init_lora");
  const auto before = read_safetensors(base / "diffusion/model/model.safetensors"),
             after = read_safetensors(tuned / "diffusion/model/model.safetensors");
  ASSERT_EQ(before.size(), after.size());
  const auto same = [&](const std::string& name) {
    return at::equal(before.at(name), after.at(name));
  };
  for (const char* layer : {"unet.down0.temporal_attention.to_qkv.weight", "unet.init_conv.weight",
                            "encoder.head.weight", "unet.null_cond"}) {
    EXPECT_FALSE(same(layer)) << layer;
  }
  for (const char* layer : {"unet.init_conv.bias", "unet.down0.block1.block1.norm.weight",
                            "unet.position_bias.weight"}) {
    EXPECT_TRUE(same(layer)) << layer;
  }
  succeed("sample --split test --preview false --sample.sampler.steps 2", "init_lora");
}

TEST_F(TrainingLosses, FineTuningStartsFromTheModelAndRefusesOneOfOtherLatents) {
  const fs::path base = new_run("whole_base"), tuned = new_run("whole_tuned");
  succeed("train-diffusion --diffusion.train.steps 3", "whole_base");
  const std::string init = " --init " + (base / "diffusion/model").string();
  // The shape of the model is its own, whatever the experiment says.
  succeed(
      "train-diffusion --diffusion.train.steps 1 --diffusion.train.learning_rate 0 "
      "--diffusion.train.ema_decay 0"
      " --diffusion.denoiser.unet.dim 16" +
          init,
      "whole_tuned");
  EXPECT_TRUE(weights(base / "diffusion/model") == weights(tuned / "diffusion/model"));

  new_run("other_latents");
  succeed("train-vae --vae.train.steps 2 --vae.model.downsample 2,2,2", "other_latents");
  const auto refused =
      x2ctpa("train-diffusion --vae " + (root_ / "other_latents/vae/model").string() + init,
             "other_latents");
  EXPECT_EQ(refused.exit_code, 1) << refused.err;
  EXPECT_NE(refused.err.find("was trained on latents of 4 channels and 4x4x4"), std::string::npos)
      << refused.err;
}

}  // namespace
}  // namespace x2ctpa
