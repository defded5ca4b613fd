#include <string>
#include <vector>

#include "models/helpers.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

using test::relative_error;

struct MaisiShape {
  std::vector<int64_t> num_channels, num_res_blocks, size;
};

// The second level of the second narrows nothing; the third has one level alone.
const std::vector<MaisiShape> maisi_shapes = {{{4, 8, 16}, {2, 2, 2}, {12, 8, 20}},
                                              {{8, 8, 4}, {1, 2, 1}, {20, 12, 4}},
                                              {{6}, {2}, {5, 4, 7}},
                                              {{12, 4}, {1, 1}, {14, 6, 8}}};

// A model whose norms have weights and biases other than 1 and 0.
AutoencoderMaisi small_maisi(const MaisiShape& shape) {
  torch::manual_seed(3);
  AutoencoderMaisiOptions o;
  o.num_channels = shape.num_channels;
  o.num_res_blocks = shape.num_res_blocks;
  o.latent_channels = 3;
  o.norm_num_groups = 2;
  AutoencoderMaisi model(o);
  model->eval();
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.2 * torch::randn_like(p));
  return model;
}

MemoryPlan maisi_plan(int64_t kept, int64_t slab_bytes) {
  MemoryPlan plan;
  plan.kept = kept;
  plan.slab_bytes = slab_bytes;
  return plan;
}

const std::vector<int64_t> maisi_budgets = {1, 9000, 40000, int64_t{1} << 30};

TEST(AutoencoderMaisiSlabs, DecodeAsTheUndividedDecoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : maisi_shapes) {
    auto model = small_maisi(shape);
    const int64_t f = model->size_factor();
    const auto latent =
        torch::randn({2, 3, shape.size[0] / f, shape.size[1] / f, shape.size[2] / f}) + 0.5;
    const auto whole = model->decode(latent);
    for (const int64_t kept : {0, 1, 2}) {
      for (const int64_t bytes : maisi_budgets) {
        const auto slabs = model->decode(latent, maisi_plan(kept, bytes));
        EXPECT_TRUE(slabs.is_contiguous());
        EXPECT_LT(relative_error(slabs, whole), 1e-5)
            << ::testing::PrintToString(shape.num_channels) << ", kept " << kept << ", slabs of "
            << bytes << " bytes";
      }
    }
  }
}

TEST(AutoencoderMaisiSlabs, EncodeAsTheUndividedEncoder) {
  torch::NoGradGuard no_grad;
  for (const auto& shape : maisi_shapes) {
    auto model = small_maisi(shape);
    const auto volume = torch::rand({2, 1, shape.size[0], shape.size[1], shape.size[2]});
    const auto whole = model->encode(volume).mean;
    for (const int64_t kept : {0, 1, 2}) {
      for (const int64_t bytes : maisi_budgets) {
        EXPECT_LT(relative_error(model->encode(volume, maisi_plan(kept, bytes)), whole), 1e-5)
            << ::testing::PrintToString(shape.num_channels) << ", kept " << kept << ", slabs of "
            << bytes << " bytes";
      }
    }
  }
}

TEST(AutoencoderMaisiSlabs, ThePublishedSizeFitsIntoSixGigabytes) {
  const auto model = without_initial_values([] { return AutoencoderMaisi(); });
  const std::vector<int64_t> latent{1, 4, 64, 64, 32};
  // The finest level: 128 channels of 256x256x128 after its first convolution, 64 from then on.
  const int64_t narrow = int64_t{64} * 256 * 256 * 128 * 4;
  const auto free = model->plan_decode(latent, {});
  EXPECT_EQ(free.kept, 2);
  EXPECT_GE(free.bytes, 4 * narrow);
  const auto limited = model->plan_decode(latent, {int64_t{5500} << 20});
  EXPECT_EQ(limited.kept, 1);
  EXPECT_GE(limited.bytes, 2 * narrow);
  const auto least = model->plan_decode(latent, {2 * narrow});
  EXPECT_EQ(least.kept, 0);
  EXPECT_LE(least.bytes, 2 * narrow);
}

}  // namespace
}  // namespace x2ctpa
