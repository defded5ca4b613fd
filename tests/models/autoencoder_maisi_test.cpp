#include "x2ctpa/models/autoencoder_maisi.h"

#include "models/helpers.h"
#include "x2ctpa/models/kernels/recompute.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

AutoencoderMaisiOptions two_levels() {
  AutoencoderMaisiOptions o;
  o.num_channels = {4, 8};
  o.num_res_blocks = {1, 1};
  o.norm_num_groups = 2;
  return o;
}

TEST(AutoencoderMaisi, HasTheSizeOfThePublishedOne) {
  const AutoencoderMaisi model;
  int64_t parameters = 0;
  for (const auto& p : model->parameters()) parameters += p.numel();
  // Counted from MONAI's class with the options of NV-Generate-CT.
  EXPECT_EQ(parameters, 20944897);
  EXPECT_EQ(model->size_factor(), 4);
}

TEST(AutoencoderMaisi, ALatentIsSmallerByItsFactorAndBackIsTheVolumesSize) {
  torch::NoGradGuard no_grad;
  AutoencoderMaisi model(two_levels());
  const auto posterior = model->encode(torch::rand({2, 1, 6, 4, 8}));
  EXPECT_EQ(posterior.mean.sizes(), at::IntArrayRef({2, 4, 3, 2, 4}));
  EXPECT_EQ(posterior.logvar.sizes(), at::IntArrayRef({2, 4, 3, 2, 4}));
  EXPECT_EQ(model->decode(posterior.mean).sizes(), at::IntArrayRef({2, 1, 6, 4, 8}));
}

TEST(AutoencoderMaisi, BlocksComputedAnewGiveTheSameGradients) {
  torch::manual_seed(4);
  AutoencoderMaisi model(two_levels());
  const auto x = torch::rand({1, 1, 4, 4, 4});
  const auto gradient = [&](bool anew) {
    model->zero_grad();
    const RecomputeActivations scope(anew);
    model->decode(model->encode(x).mean).square().sum().backward();
    return model->parameters().front().grad().clone();
  };
  const auto kept = gradient(false);
  EXPECT_GT(kept.abs().max().item<double>(), 0);
  EXPECT_LT(relative_error(gradient(true), kept), 1e-5);
}

TEST(AutoencoderMaisi, OptionsAndSizesThatDoNotFitAreNamed) {
  auto o = two_levels();
  o.num_res_blocks = {1};
  expect_error([&] { AutoencoderMaisi model(o); }, "as many num_res_blocks as num_channels");
  o = two_levels();
  o.norm_num_groups = 3;
  expect_error([&] { AutoencoderMaisi model(o); }, "num_channels");
  AutoencoderMaisi model(two_levels());
  expect_error([&] { model->encode(torch::rand({1, 1, 6, 5, 8})); }, "size of the volume");
  expect_error([&] { model->decode(torch::rand({1, 3, 2, 2, 2})); }, "latent (B, C, X, Y, Z)");
}

}  // namespace
}  // namespace x2ctpa
