#include "imaging/volume/components.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <map>

namespace x2ctpa {
namespace {

// Labels in the order of first voxels: a voxel takes the smallest label among its neighbours until
// nothing changes.
at::Tensor labels_by_spreading(const at::Tensor& mask, bool across_slices) {
  const auto size = mask.sizes();
  auto labels = at::zeros(size, at::kInt);
  auto at = labels.accessor<int32_t, 3>();
  const auto on = mask.accessor<uint8_t, 3>();
  int32_t next = 1;
  for (int64_t k = 0; k < size[0]; ++k)
    for (int64_t j = 0; j < size[1]; ++j)
      for (int64_t i = 0; i < size[2]; ++i)
        if (on[k][j][i]) at[k][j][i] = next++;
  for (bool changed = true; changed;) {
    changed = false;
    const auto meet = [&](int32_t& a, int32_t& b) {
      if (a == 0 || b == 0 || a == b) return;
      a = b = std::min(a, b);
      changed = true;
    };
    for (int64_t k = 0; k < size[0]; ++k)
      for (int64_t j = 0; j < size[1]; ++j)
        for (int64_t i = 0; i < size[2]; ++i) {
          if (i > 0) meet(at[k][j][i], at[k][j][i - 1]);
          if (j > 0) meet(at[k][j][i], at[k][j - 1][i]);
          if (k > 0 && across_slices) meet(at[k][j][i], at[k - 1][j][i]);
        }
  }
  std::map<int32_t, int32_t> order;
  for (int64_t n = 0; n < labels.numel(); ++n) {
    int32_t& label = labels.data_ptr<int32_t>()[n];
    if (label) label = order.emplace(label, int32_t(order.size()) + 1).first->second;
  }
  return labels;
}

TEST(ConnectedComponents, AreThoseOfSpreadingLabelsInSpaceAndInSlices) {
  torch::manual_seed(3);
  for (const double density : {0.1, 0.35, 0.6, 0.9})
    for (const bool across_slices : {true, false}) {
      const auto mask = (at::rand({6, 9, 13}) < density).to(at::kByte);
      const auto found = connected_components(mask, across_slices);
      const auto expected = labels_by_spreading(mask, across_slices);
      EXPECT_TRUE(at::equal(found.labels, expected)) << density << across_slices;
      EXPECT_EQ(int64_t(found.all.size()), expected.max().item<int64_t>());
      for (const Component& c : found.all) {
        const auto voxels = (expected == c.label).nonzero();
        EXPECT_EQ(c.voxels, voxels.size(0));
        for (int64_t d = 0; d < 3; ++d) {
          EXPECT_EQ(c.first[size_t(d)], voxels.select(1, d).min().item<int64_t>());
          EXPECT_EQ(c.last[size_t(d)], voxels.select(1, d).max().item<int64_t>());
          EXPECT_NEAR(c.centre[size_t(d)], voxels.select(1, d).mean(at::kDouble).item<double>(),
                      1e-9);
        }
      }
    }
}

TEST(ConnectedComponents, OfAnEmptyAndOfAFullMask) {
  EXPECT_TRUE(connected_components(at::zeros({3, 4, 5}, at::kByte)).all.empty());
  const auto full = connected_components(at::ones({3, 4, 5}, at::kByte));
  ASSERT_EQ(full.all.size(), 1u);
  EXPECT_EQ(full.all[0].voxels, 60);
  EXPECT_TRUE(full.all[0].touches_side);
}

}  // namespace
}  // namespace x2ctpa
