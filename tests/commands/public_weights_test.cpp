#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "commands/pipeline_fixture.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/models/volume_form.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using test::Pipeline;

TEST_F(Pipeline, MaisisAutoencoderAndDinov2ServeInTheWindowThatTheyKnow) {
  AutoencoderMaisiOptions maisi;
  maisi.num_channels = {4, 4};
  maisi.num_res_blocks = {1, 1};
  maisi.norm_num_groups = 2;
  save_module(root_ / "maisi", *AutoencoderMaisi(maisi), options_to_yaml(maisi));
  VisionTransformerOptions dino{.layout = VisionLayout::dinov2,
                                .image_size = 28,
                                .patch_size = 14,
                                .width = 16,
                                .depth = 1,
                                .heads = 2,
                                .mlp_width = 32,
                                .output_dim = 0};
  save_module(root_ / "dino", *VisionTransformer(dino), options_to_yaml(dino));
  fs::create_directories(root_ / "public");
  fs::copy(root_ / "run" / "dataset", root_ / "public" / "dataset", fs::copy_options::recursive);
  const auto command = "train-diffusion --vae " + (root_ / "maisi").string() + " --cxr-encoder " +
                       (root_ / "dino").string();
  const auto form = [&](double low, double high) {
    write_file(volume_form_file(root_ / "maisi"),
               fmt::format("axes: [-3, -2, 1]\nlow: 0\nwindow_min_hu: {}\nwindow_max_hu: {}\n", low,
                           high));
  };
  form(-1000, 1000);
  const auto refused = x2ctpa(command, "public");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("was trained in a window of -1000..1000 HU"), std::string::npos)
      << refused.err;
  form(-200, 500);
  const auto trained = x2ctpa(command, "public");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_TRUE(
      fs::exists(volume_form_file(root_ / "public" / "diffusion" / "model" / "autoencoder")));
  const auto sampled = x2ctpa("sample", "public");
  EXPECT_EQ(sampled.exit_code, 0) << sampled.err;
  const auto kind = x2ctpa("train-vae --vae.kind maisi", "public");
  EXPECT_EQ(kind.exit_code, 1);
  EXPECT_NE(kind.err.find("MAISI's autoencoder is used as it was published"), std::string::npos)
      << kind.err;
}

}  // namespace
}  // namespace x2ctpa
