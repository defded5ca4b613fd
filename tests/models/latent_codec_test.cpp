#include <filesystem>
#include <memory>

#include "x2ctpa/models/latent_codec.h"

#include "models/helpers.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/model_folder.h"
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

}  // namespace
}  // namespace x2ctpa
