#include "x2ctpa/models/autoencoder_kl.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <string>

#include "models/helpers.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

AutoencoderKlOptions small() {
  AutoencoderKlOptions o;
  o.block_out_channels = {4, 8, 8};
  o.layers_per_block = 1;
  o.norm_num_groups = 2;
  return o;
}

at::Generator seeded() { return at::make_generator<at::CPUGeneratorImpl>(uint64_t{7}); }

TEST(AutoencoderKl, HalvesPicturesOnceLessThanItHasLevels) {
  AutoencoderKl model(small());
  torch::NoGradGuard no_grad;
  EXPECT_EQ(model->size_factor(), 4);
  const auto posterior = model->encode(torch::randn({2, 3, 8, 12}));
  EXPECT_EQ(posterior.mean.sizes(), at::IntArrayRef({2, 4, 2, 3}));
  EXPECT_EQ(posterior.logvar.sizes(), at::IntArrayRef({2, 4, 2, 3}));
  EXPECT_EQ(model->decode(posterior.mean).sizes(), at::IntArrayRef({2, 3, 8, 12}));
}

TEST(AutoencoderKl, SamplesWithTheDeviationOfItsPosterior) {
  const LatentPosterior posterior{torch::full({4, 50, 50}, 3.0), torch::full({4, 50, 50}, -2.0)};
  const auto z = posterior.sample(seeded());
  EXPECT_NEAR(z.mean().item<double>(), 3, 0.02);
  EXPECT_NEAR(z.std().item<double>(), std::exp(-1), 0.02);
  EXPECT_TRUE(z.equal(posterior.sample(seeded())));
}

TEST(AutoencoderKl, FeedsAGradientToEveryParameter) {
  AutoencoderKl model(small());
  const auto x = torch::randn({1, 3, 8, 8});
  const auto posterior = model->encode(x);
  (model->decode(posterior.sample(seeded())) - x).square().mean().backward();
  EXPECT_EQ(test::parameters_without_gradient(*model), "");
}

TEST(AutoencoderKl, GivesTheSameWithAndWithoutGradients) {
  AutoencoderKl model(small());
  const auto x = torch::randn({2, 3, 8, 8});
  const auto with = model->decode(model->encode(x).mean);
  torch::NoGradGuard no_grad;
  const auto copy = x.clone();
  EXPECT_LT(relative_error(model->decode(model->encode(x).mean), with), 1e-5);
  EXPECT_TRUE(x.equal(copy));
}

TEST(AutoencoderKl, CodesEachSliceOfAVolumeAsAPictureOfItsOwn) {
  AutoencoderKl model(small());
  torch::NoGradGuard no_grad;
  const auto volume = torch::randn({2, 1, 5, 8, 12});
  const auto latent = model->encode_volume(volume, false, {}, 2);
  ASSERT_EQ(latent.sizes(), at::IntArrayRef({2, 4, 5, 2, 3}));
  const auto slice = volume.select(2, 3);
  const auto expected = model->encode(slice.expand({-1, 3, -1, -1})).mean * 0.18215;
  EXPECT_LT(relative_error(latent.select(2, 3), expected), 1e-5);
  const auto decoded = model->decode_volume(latent, 3);
  ASSERT_EQ(decoded.sizes(), volume.sizes());
  const auto picture = model->decode(expected / 0.18215).mean(1, true);
  EXPECT_LT(relative_error(decoded.select(2, 3), picture), 1e-5);
}

TEST(AutoencoderKl, CodesAVolumeAlikeHoweverManySlicesAtOnce) {
  AutoencoderKl model(small());
  torch::NoGradGuard no_grad;
  const auto volume = torch::randn({1, 1, 5, 8, 8});
  const auto one = model->encode_volume(volume, true, seeded(), 1);
  const auto all = model->encode_volume(volume, true, seeded(), 8);
  EXPECT_EQ(one.sizes(), all.sizes());
  EXPECT_LT(relative_error(model->encode_volume(volume, false, {}, 1),
                           model->encode_volume(volume, false, {}, 8)),
            1e-5);
  EXPECT_LT(relative_error(model->decode_volume(all, 2), model->decode_volume(all, 5)), 1e-5);
}

TEST(AutoencoderKl, RefusesSizesThatDoNotDivideAndWrongChannels) {
  AutoencoderKl model(small());
  expect_error([&] { model->encode(torch::zeros({1, 3, 8, 10})); }, "multiple of 4, found 10");
  expect_error([&] { model->encode(torch::zeros({1, 1, 8, 8})); }, "found (1, 1, 8, 8)");
  expect_error([&] { model->decode_volume(torch::zeros({1, 3, 2, 8, 8})); }, "found (1, 3,");
  auto bad = small();
  bad.norm_num_groups = 3;
  expect_error([&] { AutoencoderKl wrong(bad); }, "multiple of 3, found 4");
}

// The diffusers folder's own file, loaded as it is.
void compare_with_diffusers(const std::string& name, AutoencoderKlOptions options) {
  const auto folder = test::reference_folder();
  const auto weights = folder / name / "diffusion_pytorch_model.safetensors";
  AutoencoderKl model(options);
  load_tensors(*model, read_safetensors(weights), weights.string());
  const auto vectors = read_safetensors(folder / (name + ".safetensors"));
  torch::NoGradGuard no_grad;
  const auto posterior = model->encode(vectors.at("x"));
  EXPECT_LT(relative_error(posterior.mean, vectors.at("mean")), 1e-5);
  EXPECT_LT(relative_error(posterior.logvar, vectors.at("logvar")), 1e-5);
  EXPECT_LT(relative_error(model->decode(vectors.at("mean")), vectors.at("decoded")), 1e-5);
}

TEST(AutoencoderKl, ComputesWhatDiffusersComputes) {
  X2CTPA_VECTORS_OR_SKIP("autoencoder_kl_small");
  AutoencoderKlOptions o;
  o.block_out_channels = {16, 32};
  o.layers_per_block = 1;
  o.norm_num_groups = 8;
  compare_with_diffusers("autoencoder_kl_small", o);
}

TEST(AutoencoderKl, ComputesWhatDiffusersComputesOnFourLevels) {
  X2CTPA_VECTORS_OR_SKIP("autoencoder_kl_four_levels");
  AutoencoderKlOptions o;
  o.block_out_channels = {8, 16, 32, 32};
  o.norm_num_groups = 8;
  compare_with_diffusers("autoencoder_kl_four_levels", o);
}

TEST(AutoencoderKl, HasThePublishedNumberOfParameters) {
  int64_t count = 0;
  for (const auto& p : AutoencoderKl()->parameters()) count += p.numel();
  EXPECT_EQ(count, 83653863);
}

}  // namespace
}  // namespace x2ctpa
