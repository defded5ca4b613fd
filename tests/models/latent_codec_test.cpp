#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>

#include "x2ctpa/models/latent_codec.h"

#include "models/helpers.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/volume_form.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

using test::relative_error;

std::unique_ptr<LatentCodec> vqgan(const std::filesystem::path& folder) {
  torch::manual_seed(1);
  Vqgan3dOptions o;
  o.hidden_channels = 4;
  o.embedding_dim = 4;
  o.codes = 16;
  o.downsample = {2, 2, 2};
  o.groups = 2;
  save_module(folder, *Vqgan3d(o), options_to_yaml(o));
  return load_latent_codec(folder, c10::kCPU);
}

std::unique_ptr<LatentCodec> kl(const std::filesystem::path& folder) {
  torch::manual_seed(1);
  AutoencoderKlOptions o;
  o.block_out_channels = {4, 8};
  o.layers_per_block = 1;
  o.norm_num_groups = 2;
  save_module(folder, *AutoencoderKl(o), options_to_yaml(o));
  return load_latent_codec(folder, c10::kCPU);
}

std::unique_ptr<LatentCodec> conv(const std::filesystem::path& folder) {
  torch::manual_seed(1);
  ConvAutoencoder3dOptions o;
  o.latent_channels = 4;
  save_module(folder, *ConvAutoencoder3d(o), options_to_yaml(o));
  return load_latent_codec(folder, c10::kCPU);
}

// Volumes from the patient's left to right, from back to front and upwards, in [0, 1].
void write_form(const std::filesystem::path& folder) {
  std::ofstream(volume_form_file(folder)) << "axes: [-3, -2, 1]\nlow: 0\nhigh: 1\n";
}

std::unique_ptr<LatentCodec> maisi(const std::filesystem::path& folder, bool formed = true) {
  torch::manual_seed(1);
  AutoencoderMaisiOptions o;
  o.num_channels = {4, 8};
  o.num_res_blocks = {1, 1};
  o.norm_num_groups = 2;
  save_module(folder, *AutoencoderMaisi(o), options_to_yaml(o));
  if (formed) write_form(folder);
  return load_latent_codec(folder, c10::kCPU);
}

void expect_slices_with_gradients(LatentCodec& codec, int64_t depth_factor) {
  torch::manual_seed(2);
  const auto latent = torch::randn({2, 4, 3, 4, 4}, torch::requires_grad());
  const auto place = torch::tensor({0.0, 0.99}, torch::kDouble);
  const auto slices = codec.decode_slices(latent, place);
  const auto volume = codec.decode(latent.detach());
  const int64_t last = 3 * depth_factor - 1;
  EXPECT_LT(relative_error(slices[0], volume[0].select(1, 0)), 1e-4);
  EXPECT_LT(relative_error(slices[1], volume[1].select(1, last)), 1e-4);
  slices.square().sum().backward();
  EXPECT_GT(latent.grad()[0].abs().sum().item<double>(), 0);
  EXPECT_GT(latent.grad()[1].abs().sum().item<double>(), 0);
}

TEST(LatentCodec, ASliceOfTheVqganIsThatOfItsVolumeAndCarriesGradientsToTheLatent) {
  const test::TemporaryFolder folder;
  expect_slices_with_gradients(*vqgan(folder.path()), 2);
}

TEST(LatentCodec, ASliceOfTheConvolutionalAutoencoderIsThatOfItsVolumeAndCarriesGradients) {
  const test::TemporaryFolder folder;
  expect_slices_with_gradients(*conv(folder.path()), 4);
}

TEST(LatentCodec, ASliceOfTheKlAutoencoderIsThatOfItsVolumeAndCarriesGradientsToTheLatent) {
  const test::TemporaryFolder folder;
  expect_slices_with_gradients(*kl(folder.path()), 1);
}

// What guidance by projection relies on: the volume itself, and the gradient and the change that
// belong to each other.
void expect_gradient_and_change_agree(LatentCodec& codec) {
  torch::manual_seed(3);
  const auto latent = torch::randn({1, 4, 3, 4, 4}, torch::requires_grad());
  const auto volume = codec.decode_with_gradient(latent);
  EXPECT_LT(relative_error(volume.detach(), codec.decode(latent.detach())), 1e-5);
  const auto weights = torch::randn_like(volume), step = 1e-3 * torch::randn_like(latent);
  (volume * weights).sum().backward();
  at::NoGradGuard no_gradients;
  const auto near = codec.decode_near(latent, volume.detach(), latent + step);
  const double change = ((near - volume) * weights).sum(torch::kDouble).item<double>(),
               expected = (latent.grad() * step).sum(torch::kDouble).item<double>();
  EXPECT_NEAR(change, expected, 0.02 * std::abs(expected));
}

TEST(LatentCodec, AVolumeNearByIsTheOneThatItsGradientTells) {
  const test::TemporaryFolder a, b;
  expect_gradient_and_change_agree(*conv(a.path()));
  expect_gradient_and_change_agree(*kl(b.path()));
}

TEST(LatentCodec, TheGradientOfTheConvolutionalAutoencoderIsThatOfItsLinearPart) {
  const test::TemporaryFolder folder;
  const auto codec = conv(folder.path());
  torch::manual_seed(4);
  const auto gradient_at = [&](const at::Tensor& place) {
    const auto latent = place.clone().requires_grad_();
    codec->decode_with_gradient(latent).square().sum().backward();
    return latent.grad();
  };
  // Linear in the volume: the gradient of the sum is the same everywhere.
  const auto sum_gradient = [&](const at::Tensor& place) {
    const auto latent = place.clone().requires_grad_();
    codec->decode_with_gradient(latent).sum().backward();
    return latent.grad();
  };
  const auto here = torch::randn({1, 4, 3, 4, 4}), there = torch::randn({1, 4, 3, 4, 4});
  EXPECT_LT(relative_error(sum_gradient(here), sum_gradient(there)), 1e-5);
  EXPECT_GT(relative_error(gradient_at(here), gradient_at(there)), 0.1);
}

TEST(LatentCodec, ASliceOfMaisisAutoencoderIsThatOfItsVolumeAndCarriesGradientsToTheLatent) {
  const test::TemporaryFolder folder;
  expect_slices_with_gradients(*maisi(folder.path()), 2);
}

TEST(LatentCodec, VolumesAndLatentsAreCanonicalWhateverFormTheAutoencoderTakes) {
  torch::NoGradGuard no_grad;
  const test::TemporaryFolder folder, bare;
  const auto codec = maisi(folder.path()), inner = maisi(bare.path(), false);
  const VolumeForm form = *load_volume_form(folder.path());
  const auto volume = torch::rand({1, 1, 4, 6, 8}) * 2 - 1;
  const auto latent = codec->encode(volume);
  EXPECT_EQ(latent.sizes(), at::IntArrayRef({1, 4, 2, 3, 4}));
  const auto expected = inner->encode(volume.permute({0, 1, 4, 3, 2}).flip({2, 3}) / 2 + 0.5);
  EXPECT_LT(relative_error(latent, expected.flip({2, 3}).permute({0, 1, 4, 3, 2})), 1e-5);
  const auto decoded = codec->decode(latent);
  EXPECT_EQ(decoded.sizes(), volume.sizes());
  EXPECT_LT(relative_error(decoded, form.turned_back(inner->decode(expected)) * 2 - 1), 1e-5);
  EXPECT_LT(relative_error(codec->decode_with_gradient(latent), decoded), 1e-4);
  const auto plan = codec->plan_decode(latent.sizes(), int64_t{1} << 40);
  EXPECT_EQ(plan.bytes, inner->plan_decode(expected.sizes(), int64_t{1} << 40).bytes);
}

TEST(LatentCodec, TheNearestCodesOfATurnedVqganAreThoseOfItsLatent) {
  torch::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const auto bare = vqgan(folder.path());
  write_form(folder.path());
  const auto codec = load_latent_codec(folder.path(), c10::kCPU);
  const auto latent = torch::randn({1, 4, 2, 3, 4});
  EXPECT_TRUE(at::equal(codec->nearest_codes(latent), bare->nearest_codes(latent)));
}

TEST(LatentCodec, TheKindFollowsFromTheModelFolder) {
  const test::TemporaryFolder a, b, c, d;
  vqgan(a.path()), kl(b.path()), conv(c.path()), maisi(d.path());
  EXPECT_EQ(autoencoder_kind(a.path()), AutoencoderKind::vqgan);
  EXPECT_EQ(autoencoder_kind(b.path()), AutoencoderKind::kl);
  EXPECT_EQ(autoencoder_kind(c.path()), AutoencoderKind::conv);
  EXPECT_EQ(autoencoder_kind(d.path()), AutoencoderKind::maisi);
}

}  // namespace
}  // namespace x2ctpa
