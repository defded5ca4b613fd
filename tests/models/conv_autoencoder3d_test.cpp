#include "x2ctpa/models/conv_autoencoder3d.h"

#include <torch/optim/adam.h>
#include <cmath>
#include <vector>

#include "models/conv_autoencoder3d_blocks.h"
#include "models/helpers.h"
#include "x2ctpa/models/kernels/recompute.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

ConvAutoencoder3dOptions small_conv(std::vector<int64_t> downsample = {2, 4, 4}) {
  ConvAutoencoder3dOptions o;
  o.widths = {6, 10};
  o.blocks = {1, 1};
  o.decoder_blocks = {1, 2};
  o.latent_channels = 3;
  o.downsample = std::move(downsample);
  return o;
}

// Blocks begin as the identity: other weights show what they do.
ConvAutoencoder3d stirred(const ConvAutoencoder3dOptions& options) {
  torch::manual_seed(3);
  ConvAutoencoder3d model(options);
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.2 * torch::randn_like(p));
  return model;
}

TEST(ConvAutoencoder3d, HalvesEachAxisAsOftenAsItsFactorSays) {
  ConvAutoencoder3d model(small_conv({1, 2, 4}));
  const auto x = torch::randn({2, 1, 3, 8, 12});
  const auto out = model->forward(x);
  EXPECT_EQ(out.posterior.mean.sizes(), at::IntArrayRef({2, 3, 3, 4, 3}));
  EXPECT_FALSE(out.posterior.logvar.defined());
  EXPECT_EQ(out.reconstruction.sizes(), x.sizes());
  EXPECT_TRUE(out.reconstruction.is_contiguous());
  EXPECT_EQ(model->latent_size({3, 8, 12}), (std::vector<int64_t>{3, 4, 3}));
}

TEST(ConvAutoencoder3d, RefusesSizesThatDoNotFit) {
  ConvAutoencoder3d model(small_conv({2, 4, 4}));
  expect_error([&] { model->encode(torch::zeros({1, 1, 2, 6, 8})); }, "along H");
  expect_error(
      [&] { model->start_from_components(1, [](int64_t) {
              return torch::zeros({1, 2, 6, 8});
            }); },
      "along H");
  expect_error([&] { model->encode(torch::zeros({1, 2, 2, 8, 8})); }, "volume (B, C, D, H, W)");
  expect_error([&] { model->decode(torch::zeros({1, 1, 2, 2, 2})); }, "latent (B, C, d, h, w)");
  expect_error([] { ConvAutoencoder3d(small_conv({1, 1, 1})); }, "powers of two");
  expect_error([] { ConvAutoencoder3d(small_conv({2, 3, 4})); }, "powers of two");
  expect_error([] { ConvAutoencoder3d(small_conv({8, 4, 4})); }, "3 entries in widths");
  auto options = small_conv();
  options.decoder_blocks = {1};
  expect_error([&] { ConvAutoencoder3d model(options); }, "decoder_blocks");
}

TEST(ConvAutoencoder3d, StartsFromThePrincipalComponentsOfTheBlocks) {
  // Blocks of 2x4x4 voxels made of three patterns: three channels hold all of them.
  torch::manual_seed(7);
  const auto patterns = torch::randn({3, 2, 4, 4});
  std::vector<at::Tensor> volumes;
  for (int i = 0; i < 4; ++i) {
    const auto shares = torch::randn({3, 2, 2, 3});
    volumes.push_back(
        (at::einsum("kdhw,kabc->dahbwc", {shares, patterns}).reshape({4, 8, 12}) + 0.3)
            .unsqueeze(0));
  }
  auto model = stirred(small_conv({2, 4, 4}));
  model->start_from_components(4, [&](int64_t i) { return volumes[size_t(i)]; });
  for (const auto& volume : volumes) {
    const auto x = volume.unsqueeze(0);
    EXPECT_LT(relative_error(model->decode(model->encode(x)), x), 1e-4);
    EXPECT_LT(relative_error(model->decode(model->encode(x, {}), {}), x), 1e-4) << "in slabs";
  }
  std::vector<at::Tensor> latents;
  for (const auto& volume : volumes) latents.push_back(model->encode(volume.unsqueeze(0)));
  const auto values = at::cat(latents).transpose(0, 1).flatten(1);
  EXPECT_LT(values.mean(1).abs().max().item<double>(), 1e-4);
  EXPECT_LT((values.std(1, false) - 1).abs().max().item<double>(), 1e-3);
}

TEST(ConvAutoencoder3d, MovesSpaceToDepthAndBack) {
  const auto x = torch::arange(2 * 3 * 4 * 6 * 8).to(torch::kFloat).view({2, 3, 4, 6, 8});
  const auto deep = conv_autoencoder3d::space_to_depth(x, {1, 2, 4});
  EXPECT_EQ(deep.sizes(), at::IntArrayRef({2, 24, 4, 3, 2}));
  // Channel 1 of the voxel at row 1 and column 2 of the first group of 2 x 4.
  EXPECT_EQ(deep[1][(1 * 4 + 2) * 3 + 1][3][0][0].item<float>(), x[1][1][3][1][2].item<float>());
  EXPECT_TRUE(at::equal(conv_autoencoder3d::depth_to_space(deep, {1, 2, 4}), x));
}

TEST(ConvAutoencoder3d, FeedsAGradientToEveryParameter) {
  for (const double kl_weight : {0.0, 0.1}) {
    auto options = small_conv();
    options.kl_weight = kl_weight;
    auto model = stirred(options);
    const auto x = torch::randn({1, 1, 8, 8, 8});
    (model->forward(x).reconstruction - x).square().mean().backward();
    EXPECT_EQ(test::parameters_without_gradient(*model), "");
  }
}

TEST(ConvAutoencoder3d, GivesTheSameGradientsWhenActivationsAreComputedAnew) {
  auto model = stirred(small_conv());
  const auto x = torch::randn({2, 1, 8, 8, 8});
  const auto gradients = [&](bool recompute) {
    const RecomputeActivations scope(recompute);
    model->zero_grad();
    model->forward(x).reconstruction.square().mean().backward();
    std::vector<at::Tensor> all;
    for (const auto& p : model->parameters()) all.push_back(p.grad().flatten());
    return at::cat(all);
  };
  const auto kept = gradients(false);
  EXPECT_LT(relative_error(gradients(true), kept), 1e-5);
}

TEST(ConvAutoencoder3d, LearnsOneVolume) {
  torch::manual_seed(1);
  ConvAutoencoder3d model(small_conv());
  torch::optim::Adam optimiser(model->parameters(), 3e-3);
  const auto x = torch::randn({1, 1, 8, 8, 8});
  double first = 0, last = 0;
  for (int step = 0; step < 30; ++step) {
    optimiser.zero_grad();
    const auto loss = (model->forward(x).reconstruction - x).square().mean();
    loss.backward();
    optimiser.step();
    (step == 0 ? first : last) = loss.item<double>();
  }
  EXPECT_LT(last, 0.9 * first);
}

TEST(ConvAutoencoder3d, ReconstructsASampleInTrainingAndTheMeanInEvaluation) {
  auto options = small_conv();
  options.kl_weight = 1e-3;
  auto model = stirred(options);
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({1, 1, 8, 8, 8});
  const auto stream = [] { return at::make_generator<at::CPUGeneratorImpl>(uint64_t{7}); };
  const auto out = model->forward(x, stream());
  EXPECT_TRUE(at::equal(out.reconstruction, model->decode(out.posterior.sample(stream()))));
  EXPECT_GT(relative_error(out.reconstruction, model->decode(out.posterior.mean)), 1e-3);
  model->eval();
  EXPECT_TRUE(at::equal(model->forward(x).reconstruction, model->decode(model->encode(x))));
}

TEST(LatentPosterior, SamplesHaveItsMeanAndDeviation) {
  torch::manual_seed(1);
  LatentPosterior posterior{torch::full({1, 2, 20, 20, 20}, 3.0),
                            torch::full({1, 2, 20, 20, 20}, 2 * std::log(0.5))};
  const auto sample = posterior.sample();
  EXPECT_NEAR(sample.mean().item<double>(), 3, 0.02);
  EXPECT_NEAR(sample.std().item<double>(), 0.5, 0.02);
  posterior.logvar = at::Tensor();
  EXPECT_TRUE(at::equal(posterior.sample(), posterior.mean));
  const auto extreme = LatentPosterior::from_moments(torch::full({1, 2, 1, 1, 1}, 100.0));
  EXPECT_EQ(extreme.mean.item<double>(), 100);
  EXPECT_EQ(extreme.logvar.item<double>(), 20);
}

TEST(ConvAutoencoder3d, DecodesASliceFromThePartOfTheLatentAroundIt) {
  auto options = small_conv({4, 2, 2});
  options.decoder_blocks = {1, 0};
  for (const auto& downsample : {std::vector<int64_t>{4, 2, 2}, {2, 4, 4}, {1, 2, 4}}) {
    options.downsample = downsample;
    auto model = stirred(options);
    const auto latent = torch::randn({3, 3, 30, 2, 2}, torch::requires_grad());
    const auto place = torch::tensor({0.0, 0.52, 0.999}, torch::kDouble);
    const auto slices = model->decode_slices(latent, place);
    slices.square().sum().backward();
    const auto found = latent.grad().clone();
    latent.mutable_grad() = at::Tensor();
    const auto whole = model->decode(latent);
    std::vector<at::Tensor> expected;
    const double depth = double(30 * downsample[0]);
    for (int64_t i = 0; i < 3; ++i)
      expected.push_back(whole[i].select(1, int64_t(place[i].item<double>() * depth)));
    at::stack(expected).square().sum().backward();
    EXPECT_LT(relative_error(slices, at::stack(expected)), 1e-5) << downsample;
    EXPECT_LT(relative_error(found, latent.grad()), 1e-5) << downsample;
    EXPECT_EQ(found[1].select(1, 0).abs().max().item<double>(), 0) << "it is beyond the reach";
  }
}

TEST(ConvAutoencoder3d, IsTheSameAfterSavingAndLoading) {
  const test::TemporaryFolder folder;
  auto options = small_conv();
  options.kl_weight = 0.01;
  auto model = stirred(options);
  save_module(folder.path(), *model, options_to_yaml(options));
  auto loaded = load_model<ConvAutoencoder3d>(folder.path());
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({1, 1, 4, 8, 8});
  EXPECT_TRUE(at::equal(loaded->encode(x), model->encode(x)));
  EXPECT_TRUE(at::equal(loaded->decode(loaded->encode(x)), model->decode(model->encode(x))));
}

}  // namespace
}  // namespace x2ctpa
