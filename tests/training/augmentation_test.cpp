#include "training/augmentation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

// Every voxel knows its place.
at::Tensor numbered() { return at::arange(2 * 5 * 6 * 7).view({2, 1, 5, 6, 7}); }

TEST(Shifts, MoveEachVolumeByWholeVoxelsAndRepeatTheOutermost) {
  std::set<int64_t> seen;
  for (int64_t number = 0; number < 50; ++number) {
    const auto found = shifted(numbered(), {0, 0, 2}, random_stream(1, std::to_string(number)));
    ASSERT_EQ(found.sizes(), numbered().sizes());
    for (int64_t b = 0; b < 2; ++b) {
      const int64_t by =
          found[b][0][1][2][3].item<int64_t>() - numbered()[b][0][1][2][3].item<int64_t>();
      seen.insert(by);
      for (int64_t w = 0; w < 7; ++w) {
        const auto from = std::clamp<int64_t>(w + by, 0, 6);
        EXPECT_TRUE(at::equal(found[b].select(3, w), numbered()[b].select(3, from)));
      }
    }
  }
  EXPECT_EQ(seen, (std::set<int64_t>{-2, -1, 0, 1, 2}));
}

TEST(Shifts, FollowFromTheStreamAndAreOffWithoutAReach) {
  const auto found = shifted(numbered(), {1, 2, 3}, random_stream(1, "a"));
  EXPECT_TRUE(at::equal(found, shifted(numbered(), {1, 2, 3}, random_stream(1, "a"))));
  EXPECT_FALSE(at::equal(found, shifted(numbered(), {1, 2, 3}, random_stream(1, "b"))));
  EXPECT_TRUE(at::equal(shifted(numbered(), {0, 0, 0}, random_stream(1, "a")), numbered()));
}

}  // namespace
}  // namespace x2ctpa
