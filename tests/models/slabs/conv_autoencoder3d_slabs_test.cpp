#include <string>
#include <vector>

#include "models/helpers.h"
#include "x2ctpa/models/conv_autoencoder3d.h"

namespace x2ctpa {
namespace {

using test::relative_error;

struct ConvShape {
  std::vector<int64_t> downsample, size;
};

const std::vector<ConvShape> conv_shapes = {{{2, 2, 2}, {6, 10, 8}},  {{4, 4, 4}, {20, 12, 16}},
                                            {{2, 4, 4}, {14, 16, 8}}, {{1, 2, 4}, {7, 8, 12}},
                                            {{4, 4, 4}, {4, 4, 4}},   {{8, 4, 2}, {40, 8, 6}}};

ConvAutoencoder3d stirred_conv(const std::vector<int64_t>& downsample, double kl_weight = 0) {
  torch::manual_seed(3);
  ConvAutoencoder3dOptions o;
  o.downsample = downsample;
  o.latent_channels = 3;
  o.kl_weight = kl_weight;
  o.widths = {6};
  o.blocks = {1};
  o.decoder_blocks = {2};
  for (int64_t factor = 2; factor < std::max({downsample[0], downsample[1], downsample[2]});
       factor *= 2) {
    o.widths.push_back(2 * o.widths.back());
    o.blocks.push_back(1);
    o.decoder_blocks.push_back(1);
  }
  ConvAutoencoder3d model(o);
  model->eval();
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.1 * torch::randn_like(p));
  return model;
}

MemoryPlan slabs_of(int64_t bytes) {
  MemoryPlan plan;
  plan.slab_bytes = bytes;
  return plan;
}

// One slice, a few slices, odd ones among them, and everything at once.
const std::vector<int64_t> conv_slab_budgets = {1, 20000, 60000, int64_t{1} << 30};

TEST(ConvAutoencoder3dSlabs, DecodeAsTheUndividedDecoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : conv_shapes) {
    auto model = stirred_conv(shape.downsample);
    const auto size = model->latent_size(shape.size);
    const auto latent = torch::randn({2, 3, size[0], size[1], size[2]}) * 2 + 0.5;
    const auto whole = model->decode(latent);
    for (const int64_t bytes : conv_slab_budgets) {
      const auto slabs = model->decode(latent, slabs_of(bytes));
      EXPECT_TRUE(slabs.is_contiguous());
      EXPECT_LT(relative_error(slabs, whole), 1e-5)
          << ::testing::PrintToString(shape.size) << ", slabs of " << bytes << " bytes";
    }
  }
}

TEST(ConvAutoencoder3dSlabs, EncodeAsTheUndividedEncoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : conv_shapes) {
    for (const double kl_weight : {0.0, 0.1}) {
      auto model = stirred_conv(shape.downsample, kl_weight);
      const auto volume = torch::randn({2, 1, shape.size[0], shape.size[1], shape.size[2]}) + 0.5;
      const auto whole = model->encode(volume);
      for (const int64_t bytes : conv_slab_budgets) {
        EXPECT_LT(relative_error(model->encode(volume, slabs_of(bytes)), whole), 1e-5)
            << ::testing::PrintToString(shape.size) << ", slabs of " << bytes << " bytes";
      }
    }
  }
}

TEST(ConvAutoencoder3dSlabs, SeveralSamplesAtOnceGiveWhatEachGivesAlone) {
  torch::NoGradGuard no_grad;
  auto model = stirred_conv({2, 4, 4});
  const auto latent = torch::randn({3, 3, 7, 4, 2});
  auto plan = slabs_of(20000);
  const auto alone = model->decode(latent, plan);
  plan.at_once = 2;
  EXPECT_LT(relative_error(model->decode(latent, plan), alone), 1e-5);
}

TEST(ConvAutoencoder3dSlabs, InBf16TheyAreNearAndInSinglePrecision) {
  torch::NoGradGuard no_grad;
  auto model = stirred_conv({2, 4, 4});
  const auto latent = torch::randn({1, 3, 7, 4, 2});
  auto plan = slabs_of(20000);
  plan.type = at::kBFloat16;
  const auto found = model->decode(latent, plan);
  EXPECT_EQ(found.scalar_type(), at::kFloat);
  EXPECT_LT(relative_error(found, model->decode(latent)), 0.05);
}

TEST(ConvAutoencoder3dSlabs, APlanTakesSmallerSlabsTheLessMemoryThereIs) {
  auto model = stirred_conv({4, 4, 4});
  const std::vector<int64_t> volume{1, 1, 128, 256, 256};
  const auto free = model->plan_encode(volume, {});
  EXPECT_EQ(free.slab_bytes, MemoryPlan().slab_bytes);
  EXPECT_EQ(free.kept, 0);
  const auto less = model->plan_encode(volume, {free.bytes - 1});
  EXPECT_LT(less.slab_bytes, free.slab_bytes);
  EXPECT_LT(less.bytes, free.bytes);
  EXPECT_GT(model->plan_encode({16, 1, 16, 16, 16}, {}).at_once, 1);
  try {
    model->plan_encode(volume, {1000000});
    ADD_FAILURE() << "no Error was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::out_of_memory);
    EXPECT_NE(std::string(e.what()).find("(1, 1, 128, 256, 256)"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace x2ctpa
