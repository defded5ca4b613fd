#include <string>
#include <vector>

#include "models/helpers.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

struct Shape {
  std::vector<int64_t> downsample, size;
};

const std::vector<Shape> shapes = {{{2, 2, 2}, {6, 10, 8}},
                                   {{4, 4, 4}, {20, 12, 16}},
                                   {{2, 4, 4}, {14, 16, 8}},
                                   {{1, 2, 4}, {7, 8, 12}},
                                   {{8, 4, 2}, {40, 8, 6}}};

// A model whose norms have weights and biases other than 1 and 0.
Vqgan3d small(const std::vector<int64_t>& downsample, Vqgan3dNorm norm = Vqgan3dNorm::group) {
  torch::manual_seed(3);
  Vqgan3dOptions o;
  o.norm = norm;
  o.hidden_channels = 6;
  o.groups = 4;
  o.embedding_dim = 3;
  o.codes = 16;
  o.downsample = downsample;
  Vqgan3d model(o);
  model->eval();
  torch::NoGradGuard no_grad;
  for (auto& p : model->named_parameters()) {
    if (p.key().find("norm") != std::string::npos)
      p.value().add_(0.3 * torch::randn_like(p.value()));
  }
  return model;
}

MemoryPlan plan_of(int64_t kept, int64_t slab_bytes) {
  MemoryPlan plan;
  plan.kept = kept;
  plan.slab_bytes = slab_bytes;
  return plan;
}

// One slice, a few slices, odd ones among them, and everything at once.
const std::vector<int64_t> slab_budgets = {1, 20000, 60000, int64_t{1} << 30};

TEST(Vqgan3dSlabs, DecodeAsTheUndividedDecoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : shapes) {
    auto model = small(shape.downsample);
    const auto latent_size = model->latent_size(shape.size);
    const auto latent =
        torch::randn({2, 3, latent_size[0], latent_size[1], latent_size[2]}) * 2 + 0.5;
    const auto whole = model->decode(latent);
    for (const int64_t kept : {0, 1, 2}) {
      for (const int64_t bytes : slab_budgets) {
        const auto slabs = model->decode(latent, plan_of(kept, bytes));
        EXPECT_TRUE(slabs.is_contiguous());
        EXPECT_LT(relative_error(slabs, whole), 1e-5)
            << ::testing::PrintToString(shape.size) << ", kept " << kept << ", slabs of " << bytes
            << " bytes";
      }
    }
  }
}

TEST(Vqgan3dSlabs, EncodeAsTheUndividedEncoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : shapes) {
    auto model = small(shape.downsample);
    const auto volume = torch::randn({2, 1, shape.size[0], shape.size[1], shape.size[2]}) + 0.5;
    const auto whole = model->encode(volume);
    for (const int64_t kept : {0, 1, 2}) {
      for (const int64_t bytes : slab_budgets) {
        EXPECT_LT(relative_error(model->encode(volume, plan_of(kept, bytes)), whole), 1e-5)
            << ::testing::PrintToString(shape.size) << ", kept " << kept << ", slabs of " << bytes
            << " bytes";
      }
    }
  }
}

TEST(Vqgan3dSlabs, GoByTheRunningAveragesOfBatchNorm) {
  torch::NoGradGuard no_grad;
  auto model = small({2, 4, 4}, Vqgan3dNorm::batch);
  const auto volume = torch::randn({2, 1, 12, 16, 16}) * 2 + 1;
  model->train();
  model->forward(volume);
  model->eval();
  const auto latent = model->encode(volume);
  const auto whole = model->decode(latent);
  for (const int64_t kept : {0, 1, 2}) {
    EXPECT_LT(relative_error(model->encode(volume, plan_of(kept, 20000)), latent), 1e-5) << kept;
    EXPECT_LT(relative_error(model->decode(latent, plan_of(kept, 20000)), whole), 1e-5) << kept;
  }
}

TEST(Vqgan3dSlabs, SeveralSamplesAtOnceGiveWhatEachGivesAlone) {
  torch::NoGradGuard no_grad;
  auto model = small({2, 4, 4});
  const auto latent = torch::randn({3, 3, 7, 4, 2});
  auto plan = plan_of(1, 20000);
  const auto alone = model->decode(latent, plan);
  plan.at_once = 2;
  EXPECT_LT(relative_error(model->decode(latent, plan), alone), 1e-5);
}

TEST(Vqgan3dSlabs, DecodeQuantisesFirstWhenAsked) {
  torch::NoGradGuard no_grad;
  auto model = small({2, 2, 2});
  const auto latent = torch::randn({1, 3, 3, 4, 4});
  const auto quantised = model->decode(latent, plan_of(2, 20000), true);
  EXPECT_LT(relative_error(quantised, model->decode(latent, true)), 1e-5);
  EXPECT_GT(relative_error(quantised, model->decode(latent)), 1e-2);
}

TEST(Vqgan3dSlabs, APlanTakesLessMemoryTheLessThereIs) {
  auto model = small({4, 4, 4});
  const std::vector<int64_t> latent{1, 3, 32, 32, 32};
  const auto free = model->plan_decode(latent, {});
  EXPECT_EQ(free.kept, 2);
  // The finest activation: 12 channels of 128^3 in single precision.
  const int64_t activation = int64_t{12} * 128 * 128 * 128 * 4;
  EXPECT_GE(free.bytes, 2 * activation);
  EXPECT_LT(free.bytes, 2 * activation + activation);
  const auto one = model->plan_decode(latent, {2 * activation});
  EXPECT_EQ(one.kept, 1);
  EXPECT_LE(one.bytes, 2 * activation);
  const auto none = model->plan_decode(latent, {activation});
  EXPECT_EQ(none.kept, 0);
  EXPECT_LE(none.bytes, activation);
}

TEST(Vqgan3dSlabs, APlanForSmallVolumesTakesThemTogether) {
  auto model = small({4, 4, 4});
  const auto plan = model->plan_decode({16, 3, 4, 4, 4}, {});
  EXPECT_GT(plan.at_once, 1);
  EXPECT_LE(plan.at_once, 16);
}

TEST(Vqgan3dSlabs, WhereNothingFitsTheErrorNamesNeedAndLimit) {
  auto model = small({4, 4, 4});
  try {
    model->plan_decode({1, 3, 32, 32, 32}, {1000000});
    ADD_FAILURE() << "no Error was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::out_of_memory);
    EXPECT_NE(std::string(e.what()).find("(1, 3, 32, 32, 32)"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("memory_gb"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace x2ctpa
