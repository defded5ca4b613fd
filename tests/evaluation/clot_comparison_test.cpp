#include "evaluation/clot_comparison.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

using at::indexing::Slice;

// An artery of 2 x 2 voxels from right to left, 300 HU in soft tissue of 40 HU; a clot of 50 HU
// fills its columns 2 to 5.
struct Artery {
  ClotMasks masks{at::zeros({8, 8, 16}), at::zeros({8, 8, 16}), at::ones({8, 8, 16})};
  at::Tensor truth = at::full({8, 8, 16}, 40.0);

  Artery() {
    inside(masks.arteries, 2, 14).fill_(1);
    inside(masks.clots, 2, 6).fill_(1);
    inside(truth, 2, 14).fill_(300);
    inside(truth, 2, 6).fill_(50);
  }
  static at::Tensor inside(const at::Tensor& volume, int64_t first, int64_t end) {
    return volume.index({Slice(3, 5), Slice(3, 5), Slice(first, end)});
  }
  // The true volume with `hu` in the columns of the clot.
  at::Tensor with_clot_at(double hu) const {
    const at::Tensor volume = truth.clone();
    inside(volume, 2, 6).fill_(hu);
    return volume;
  }
  ClotComparison comparison(const Vec3& spacing_mm = {1, 1, 1}) const {
    return {masks, spacing_mm, truth};
  }
};

TEST(ClotComparison, TheTrueVolumeKeepsItsClots) {
  const Artery artery;
  const LesionValues values = artery.comparison().of(artery.truth);
  EXPECT_DOUBLE_EQ(values[lesion::contrast], -250);
  EXPECT_DOUBLE_EQ(values[lesion::preserved], 1);
  EXPECT_TRUE(std::isnan(values[lesion::detectability])) << "the artery around has no deviation";
  EXPECT_DOUBLE_EQ(values[lesion::dice], 1);
  EXPECT_DOUBLE_EQ(values[lesion::same_side], 1);
}

TEST(ClotComparison, AVolumeWithoutThemHasNoneOfThem) {
  const Artery artery;
  const LesionValues values = artery.comparison().of(artery.with_clot_at(300));
  EXPECT_DOUBLE_EQ(values[lesion::contrast], 0);
  EXPECT_DOUBLE_EQ(values[lesion::preserved], 0);
  EXPECT_DOUBLE_EQ(values[lesion::dice], 0);
  EXPECT_DOUBLE_EQ(values[lesion::same_side], 0.5) << "no side is shown";
}

TEST(ClotComparison, AFaintClotIsFoundFromHalfTheContrastOn) {
  const Artery artery;
  const ClotComparison comparison = artery.comparison();
  const LesionValues faint = comparison.of(artery.with_clot_at(200)),
                     found = comparison.of(artery.with_clot_at(150));
  EXPECT_DOUBLE_EQ(faint[lesion::preserved], 0.4);
  EXPECT_DOUBLE_EQ(faint[lesion::dice], 0);
  EXPECT_DOUBLE_EQ(found[lesion::preserved], 0.6);
  EXPECT_DOUBLE_EQ(found[lesion::dice], 1);
}

TEST(ClotComparison, DetectabilityIsTheContrastInDeviationsOfTheArtery) {
  const Artery artery;
  const at::Tensor volume = artery.truth.clone();
  Artery::inside(volume, 6, 10).fill_(310);
  Artery::inside(volume, 10, 14).fill_(290);
  EXPECT_DOUBLE_EQ(artery.comparison().of(volume)[lesion::detectability], 25);
}

TEST(ClotComparison, AClotOnTheOtherSideIsNeitherFoundNorOnTheSameSide) {
  const Artery artery;
  const at::Tensor volume = artery.with_clot_at(300);
  Artery::inside(volume, 12, 14).fill_(50);
  const LesionValues values = artery.comparison().of(volume);
  EXPECT_GT(values[lesion::contrast], 0);
  EXPECT_LT(values[lesion::preserved], 0);
  EXPECT_DOUBLE_EQ(values[lesion::dice], 0);
  EXPECT_DOUBLE_EQ(values[lesion::same_side], 0);
}

TEST(ClotComparison, OnlyTheArteryWithin20MmIsComparedWith) {
  const Artery artery;
  const at::Tensor volume = artery.truth.clone();
  Artery::inside(volume, 12, 14).fill_(1000);
  EXPECT_DOUBLE_EQ(artery.comparison({4, 4, 4}).of(volume)[lesion::contrast], -250)
      << "columns 6 to 10 lie within 20 mm of column 5";
  EXPECT_LT(artery.comparison({1, 1, 1}).of(volume)[lesion::contrast], -250);
}

TEST(ClotComparison, AClotOfPartsOfVoxelsIsMeasuredByTheirShares) {
  Artery artery;
  artery.masks.clots.zero_();
  artery.masks.clots[3][3][4] = 0.25;
  artery.masks.clots[3][3][5] = 0.125;
  at::Tensor volume = at::full({8, 8, 16}, 300.0);
  volume[3][3][4] = 240;
  volume[3][3][5] = 270;
  const ClotComparison comparison(artery.masks, {1, 1, 1}, volume);
  const double clot = (0.25 * 240 + 0.125 * 270) / 0.375;
  const double around = (46 * 300 + 0.75 * 240 + 0.875 * 270) / (46 + 0.75 + 0.875);
  const LesionValues values = comparison.of(volume);
  EXPECT_NEAR(values[lesion::contrast], clot - around, 1e-9);
  EXPECT_TRUE(std::isnan(values[lesion::dice])) << "no voxel is mostly clot";
}

TEST(ClotComparison, SizeAndPlaceAreTheClots) {
  Artery artery;
  EXPECT_NEAR(artery.comparison({1, 2, 3}).ml(), 16 * 6e-3, 1e-12);
  EXPECT_EQ(artery.comparison().fullest_slice(), 3);
  EXPECT_TRUE(artery.comparison().central()) << "half of it lies in columns 4 to 11";
  Artery::inside(artery.masks.clots, 5, 6).zero_();
  EXPECT_FALSE(artery.comparison().central());
}

TEST(ClotComparison, WithoutClotOrArteryThereIsNothingToMeasure) {
  Artery artery;
  artery.masks.arteries = artery.masks.clots;
  EXPECT_THROW(artery.comparison(), Error);
  artery.masks.clots = at::zeros({8, 8, 16});
  EXPECT_THROW(artery.comparison(), Error);
}

}  // namespace
}  // namespace x2ctpa
