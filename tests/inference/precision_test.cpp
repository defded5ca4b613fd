#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "support/tiny_model.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/inference/ctpa_generator.h"

namespace x2ctpa {
namespace {

at::Tensor volume_of(const std::filesystem::path& model, const RuntimeOptions& runtime) {
  CtpaGenerator generator(model, runtime);
  torch::manual_seed(9);
  const SampleRequest request{"case", at::rand({1, 32, 32})};
  SamplerOptions sampler;
  sampler.steps = 8;
  return generator.generate({request}, sampler, 1);
}

// Root mean square of the difference, in HU.
double rms_hu(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).square().mean().sqrt().item<double>();
}

class SamplingPrecision : public ::testing::TestWithParam<test::TinyAutoencoder> {
 protected:
  void SetUp() override { test::write_tiny_model(folder_.path(), GetParam()); }
  test::TemporaryFolder folder_;
};

// bf16 keeps 8 bits: a relative error of 2^-9 per rounding. Over the layers and steps that may add
// up to some HU of a window of 700; 1 % of it, 7 HU, is less than the noise of any CT.
TEST_P(SamplingPrecision, Bf16GivesTheVolumeOfFp32Within7Hu) {
  if (!cpu_computes_bf16()) GTEST_SKIP() << "this CPU has no bf16 instructions";
  RuntimeOptions runtime;
  runtime.device = "cpu";
  const auto fp32 = volume_of(folder_.path(), runtime);
  runtime.precision = Precision::bf16;
  const auto bf16 = volume_of(folder_.path(), runtime);
  const double spread = fp32.std().item<double>();
  RecordProperty("rms_hu", std::to_string(rms_hu(bf16, fp32)));
  std::printf("bf16 against fp32: rms %.2f HU, largest %.2f HU, volume's own deviation %.1f HU\n",
              rms_hu(bf16, fp32), (bf16 - fp32).abs().max().item<double>(), spread);
  EXPECT_GT(spread, 14) << "a flat volume would tell nothing";
  EXPECT_LT(rms_hu(bf16, fp32), 7);
  EXPECT_GT(rms_hu(bf16, fp32), 0) << "bf16 was not used";
}

TEST_P(SamplingPrecision, LittleMemoryGivesTheSameVolume) {
  RuntimeOptions runtime;
  runtime.device = "cpu";
  const auto free = volume_of(folder_.path(), runtime);
  runtime.deterministic = true;  // the limit is taken as it is, whatever the process holds already
  runtime.memory_gb = 0.004;
  EXPECT_LT(rms_hu(volume_of(folder_.path(), runtime), free), 1e-2);
  at::globalContext().setDeterministicAlgorithms(false, false);
}

TEST_P(SamplingPrecision, TooLittleMemoryEndsWithCode4AndBothNumbers) {
  RuntimeOptions runtime;
  runtime.device = "cpu";
  runtime.deterministic = true;
  runtime.memory_gb = 0.0001;
  try {
    volume_of(folder_.path(), runtime);
    ADD_FAILURE() << "no Error was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::out_of_memory) << e.what();
    EXPECT_NE(std::string(e.what()).find("GB may be used"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Autoencoders, SamplingPrecision,
                         ::testing::Values(test::TinyAutoencoder::vqgan,
                                           test::TinyAutoencoder::conv, test::TinyAutoencoder::kl,
                                           test::TinyAutoencoder::maisi),
                         [](const auto& info) {
                           return info.param == test::TinyAutoencoder::vqgan  ? "vqgan"
                                  : info.param == test::TinyAutoencoder::conv ? "conv"
                                  : info.param == test::TinyAutoencoder::kl   ? "kl"
                                                                              : "maisi";
                         });

TEST(QuantisedDecoding, GeneratedLatentsAreDecodedByTheirNearestCodesWhereTheModelSaysSo) {
  const test::TemporaryFolder folder;
  test::write_tiny_model(folder.path());
  DiffusionProcess process;
  process.quantise_latents = true;
  torch::manual_seed(4);
  const auto latent = at::randn({1, 4, 4, 8, 8});
  const RuntimeOptions runtime{.device = "cpu"};
  CtpaGenerator plain(folder.path(), runtime);
  const auto codes =
      load_latent_codec(folder.path() / "autoencoder", at::kCPU)->nearest_codes(latent);
  const std::vector<SampleRequest> requests{{"x", at::rand({1, 32, 32})}};
  const auto expected = plain.decode(codes, requests);
  write_file(folder / "diffusion.yaml", options_to_yaml(process));
  CtpaGenerator quantising(folder.path(), runtime);
  EXPECT_TRUE(at::equal(quantising.decode(latent, requests), expected));
  EXPECT_FALSE(at::equal(plain.decode(latent, requests), expected)) << "the codes changed nothing";
}

}  // namespace
}  // namespace x2ctpa
