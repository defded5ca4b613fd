#include "evaluation/reference_model.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "support/tiny_model.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/linear_mean.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

DatasetInfo info_of(const fs::path& model) {
  return load_options<DatasetInfo>(model / "dataset.yaml");
}

at::Tensor cxr_of(int64_t i) {
  torch::manual_seed(i);
  return at::rand({1, 32, 32});
}

at::Tensor latent_of(int64_t i) {
  torch::manual_seed(100 + i);
  return at::randn({4, 4, 8, 8});
}

// The tiny model as one that begins with a linear mean of two cases.
LinearMean add_mean(const fs::path& model) {
  LinearMeanOptions options;
  options.side = 8;
  options.components = 1;
  options.size = {4, 4, 8, 8};
  const LinearMean mean = LinearMeanFit::of(2, options, cxr_of, latent_of, {}).mean;
  save_module(model / "mean", *mean, options_to_yaml(mean->options()));
  auto denoiser = load_options<CtpaDenoiserOptions>(model_config_file(model));
  denoiser.mean = LatentMean::linear;
  const DatasetInfo info = info_of(model);
  const CtpaDenoiser made(
      denoiser, 4, std::array<int64_t, 3>{4, 8, 8},
      BackProjectionGeometry{info.geometry, info.typical_spacing_at_mm({4, 8, 8})});
  save_module(model, *made, options_to_yaml(denoiser));
  return mean;
}

TEST(ReferenceModel, AutoencoderAloneIsTheTrueVolumeEncodedAndDecoded) {
  test::TemporaryFolder folder;
  test::write_tiny_model(folder.path());
  const DatasetInfo info = info_of(folder.path());
  ReferenceModel model(folder.path(), {}, info);
  Volume truth{at::linspace(-300, 600, 16 * 32 * 32).view({16, 32, 32})};
  at::NoGradGuard no_grad;
  const auto codec = load_latent_codec(folder.path() / "autoencoder", c10::kCPU);
  auto latent = codec->encode(info.window.to_unit(truth.hu).view({1, 1, 16, 32, 32}));
  if (load_options<DiffusionProcess>(folder.path() / "diffusion.yaml").quantise_latents)
    latent = codec->nearest_codes(latent);
  const auto expected = info.window.to_hu(codec->decode(latent).clamp(-1, 1)).view({16, 32, 32});
  EXPECT_LE((model.autoencoder_alone(truth) - expected).abs().max().item<double>(), 0.01);
}

TEST(ReferenceModel, RegressionAloneIsTheDecodedMeanAndNoneWithoutAMean) {
  test::TemporaryFolder folder;
  test::write_tiny_model(folder.path());
  const DatasetInfo info = info_of(folder.path());
  EXPECT_FALSE(ReferenceModel(folder.path(), {}, info).regression_alone("a", cxr_of(3)).defined());
  const LinearMean mean = add_mean(folder.path());
  CtpaGenerator generator(folder.path(), {});
  const std::vector<SampleRequest> requests{{"a", cxr_of(3)}};
  const auto latents = generator.mean_latents(requests);
  at::NoGradGuard no_grad;
  const auto expected = mean->forward(cxr_of(3).unsqueeze(0));
  EXPECT_TRUE(at::allclose(latents, expected)) << "the tiny model's latents have mean 0 and std 1";
  ReferenceModel model(folder.path(), {}, info);
  EXPECT_TRUE(at::equal(model.regression_alone("a", cxr_of(3)),
                        generator.decode(latents, requests).squeeze(0)));
  EXPECT_FALSE(model.regression_alone("a", at::rand({1, 16, 16})).defined());
}

TEST(ReferenceModel, IsOpenedWhereTheRunHasOneAndElseSaysWhyNot) {
  test::TemporaryFolder folder;
  EvaluationInputs inputs;
  inputs.run = folder.path();
  std::string why_not;
  EXPECT_EQ(open_references(inputs, {}, {}, why_not), nullptr);
  EXPECT_NE(why_not.find("no diffusion/model"), std::string::npos) << why_not;

  test::write_tiny_model(folder.path());
  inputs.model = folder.path();
  inputs.info = info_of(folder.path());
  why_not.clear();
  ASSERT_NE(open_references(inputs, {}, {}, why_not), nullptr);
  EXPECT_NE(why_not.find("no regression"), std::string::npos) << why_not;

  inputs.info.grid_dhw = {8, 8, 8};
  EXPECT_EQ(open_references(inputs, {}, {}, why_not), nullptr);
  EXPECT_NE(why_not.find("16x32x32"), std::string::npos) << why_not;
  inputs.model_is_given = true;
  EXPECT_THROW(open_references(inputs, {}, {}, why_not), Error);
}

}  // namespace
}  // namespace x2ctpa
