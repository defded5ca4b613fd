#include "x2ctpa/imaging/volume/lungs.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

#include "support/real_data.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

using test::real_data;

// True inside the ellipsoid at `centre_mm` with these half axes, over the voxels of `v`.
at::Tensor ellipsoid(const Volume& v, const Vec3& centre_mm, const Vec3& half_mm) {
  const auto size = v.size_dhw();
  auto sum = at::zeros({size[0], size[1], size[2]});
  for (int a = 0; a < 3; ++a) {
    std::vector<int64_t> shape{1, 1, 1};
    shape[2 - a] = size[2 - a];
    const auto x =
        at::arange(size[2 - a], at::kFloat) * v.spacing_mm[a] + (v.origin_mm[a] - centre_mm[a]);
    sum = sum + (x / half_mm[a]).square().reshape(shape);
  }
  return sum <= 1;
}

// A body with two lungs of 4/3 pi 60*75*110 mm^3 each, a trachea and gas in the bowels.
Volume chest(const Vec3& spacing) {
  Volume v{
      at::full({int64_t(320 / spacing[2]), int64_t(300 / spacing[1]), int64_t(400 / spacing[0])},
               -1000.0f),
      {-200, -150, 0},
      spacing};
  v.hu.masked_fill_(ellipsoid(v, {0, 0, 160}, {180, 120, 1e4}), 40);
  for (double side : {-1.0, 1.0})
    v.hu.masked_fill_(ellipsoid(v, {side * 85, 0, 170}, {60, 75, 110}), -850);
  v.hu.masked_fill_(ellipsoid(v, {60, -20, 25}, {40, 40, 20}), -1000);
  v.hu.masked_fill_(ellipsoid(v, {0, 20, 300}, {9, 9, 90}), -1000);
  return v;
}

const double chest_litres = 2 * 4.0 / 3 * M_PI * 60 * 75 * 110 * 1e-6;

TEST(Lungs, SimulatedLungsHaveTheirVolumeAtAnyResolution) {
  for (const Vec3& spacing : {Vec3{1.5, 1.5, 2.5}, Vec3{4, 4, 5}}) {
    const Lungs lungs = segment_lungs(chest(spacing));
    EXPECT_NEAR(lungs.litres, chest_litres, 0.05 * chest_litres);
    EXPECT_FALSE(lungs.cut_off);
    EXPECT_NEAR(double(lungs.box.first[0]) * spacing[2], 60, 10);
  }
}

TEST(Lungs, AScanThatEndsInsideThemIsCutOff) {
  Volume v = chest({3, 3, 4});
  v.hu = v.hu.slice(0, 30, 80).contiguous();
  EXPECT_TRUE(segment_lungs(v).cut_off);
}

TEST(Lungs, ABlockOfWaterHasNone) {
  Volume v{at::zeros({40, 40, 40}), {0, 0, 0}, {5, 5, 5}};
  EXPECT_THROW(segment_lungs(v), Error);
  v.hu.fill_(-1000);
  EXPECT_THROW(body_box(v), Error);
}

TEST(Lungs, AnAbdomenWithGasInTheBowelsHasNone) {
  // Two long loops of bowel beside each other, as large as small lungs.
  Volume v{at::full({80, 100, 130}, -1000.0f), {-195, -150, 0}, {3, 3, 4}};
  v.hu.masked_fill_(ellipsoid(v, {0, 0, 160}, {180, 120, 1e4}), 40);
  for (double side : {-1.0, 1.0})
    v.hu.masked_fill_(ellipsoid(v, {side * 80, 0, 160}, {45, 45, 120}), -1000);
  EXPECT_THROW(segment_lungs(v), Error);
  // The same with the density of lungs is accepted: it is the gas that was refused.
  for (double side : {-1.0, 1.0})
    v.hu.masked_fill_(ellipsoid(v, {side * 80, 0, 160}, {45, 45, 120}), -850);
  EXPECT_GT(segment_lungs(v).litres, 0.5);
}

TEST(Lungs, AMaskOnAnotherGridIsPlacedByItsGeometry) {
  const Volume v = chest({3, 3, 4});
  const Lungs found = segment_lungs(v);
  // The mask of the lungs on a coarser grid, flipped and with its own origin.
  const Volume fine = chest({1.5, 1.5, 2});
  Volume mask = fine;
  mask.hu = (fine.hu < -800).logical_and(fine.hu > -900).to(at::kFloat).flip({0}).contiguous();
  mask.origin_mm = fine.point({0, 0, double(fine.hu.size(0) - 1)});
  mask.direction = {{{1, 0, 0}, {0, 1, 0}, {0, 0, -1}}};
  const Lungs given = region_of_mask(v, mask, true);
  EXPECT_NEAR(given.litres, chest_litres, 0.05 * chest_litres);
  for (int d = 0; d < 3; ++d) {
    EXPECT_NEAR(double(given.box.first[d]), double(found.box.first[d]), 2);
    EXPECT_NEAR(double(given.box.last[d]), double(found.box.last[d]), 2);
  }
}

TEST(Lungs, AnEmptyAForeignAndAnImplausibleMaskAreRefused) {
  const Volume v = chest({3, 3, 4});
  Volume mask = v;
  mask.hu = at::zeros_like(v.hu);
  EXPECT_THROW(region_of_mask(v, mask, false), Error);
  mask.hu.slice(0, 30, 40).slice(1, 30, 40).slice(2, 30, 40).fill_(1);
  EXPECT_NO_THROW(region_of_mask(v, mask, false));
  EXPECT_THROW(region_of_mask(v, mask, true), Error);  // 36 ml are no lungs
  mask.origin_mm[2] += 1000;
  EXPECT_THROW(region_of_mask(v, mask, false), Error);
}

TEST(Body, BoxSpansTheBody) {
  const Volume v = chest({3, 3, 4});
  const Box box = body_box(v);
  EXPECT_NEAR(double(box.first[2]) * 3 - 200, -180, 6);
  EXPECT_NEAR(double(box.last[1]) * 3 - 150, 120, 6);
}

double dice(const at::Tensor& a, const at::Tensor& b) {
  const double both = a.logical_and(b).sum().item<double>();
  return 2 * both / (a.sum().item<double>() + b.sum().item<double>());
}

// The box of the largest part of the labels, so that stray voxels do not count.
void expect_box_within_two_voxels(const Box& found, const at::Tensor& truth) {
  for (int64_t d = 0; d < 3; ++d) {
    std::vector<int64_t> others;
    for (int64_t o = 0; o < 3; ++o)
      if (o != d) others.push_back(o);
    const auto used = truth.to(at::kInt).amax(others).nonzero();
    EXPECT_NEAR(double(found.first[d]), used.min().item<double>(), 2) << "axis " << d;
    EXPECT_NEAR(double(found.last[d]), used.max().item<double>(), 2) << "axis " << d;
  }
}

TEST(Lungs, TheLowerPartOfARealScanWithoutLungsIsRefused) {
  X2CTPA_NEEDS_REAL_DATA("ct_volume");
  Volume ct = oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm.nii.gz")));
  const auto labels =
      oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm_labels118.nii.gz"))).hu;
  const auto lobes = (labels >= 10).logical_and(labels <= 14);
  const int64_t first =
      lobes.to(at::kInt).amax(std::vector<int64_t>{1, 2}).nonzero().min().item<int64_t>();
  ASSERT_GT(first, 3);
  ct.hu = ct.hu.slice(0, 0, first).contiguous();
  EXPECT_THROW(segment_lungs(ct), Error);
}

TEST(Lungs, OfARealScanAgreeWithItsLabels) {
  X2CTPA_NEEDS_REAL_DATA("ct_volume");
  const Volume ct = oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm.nii.gz")));
  const auto labels =
      oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm_labels118.nii.gz"))).hu;
  const Lungs lungs = segment_lungs(ct);
  const auto lobes = (labels >= 10).logical_and(labels <= 14);
  EXPECT_GE(dice(lungs.mask == 1, lobes), 0.97);
  EXPECT_NEAR(lungs.litres, 3.70, 0.05 * 3.70);
  expect_box_within_two_voxels(lungs.box, lobes);
}

TEST(Lungs, OfACoarseRealScanAgreeWithItsMask) {
  X2CTPA_NEEDS_REAL_DATA("ct_volume");
  const Volume ct = oriented_to_lps(read_volume(real_data("ct_volume/CIP_ct-64.nrrd")));
  const auto mask =
      oriented_to_lps(read_volume(real_data("ct_volume/CIP_ct-64_wholeLung.nrrd"))).hu > 0;
  const Lungs lungs = segment_lungs(ct);
  EXPECT_GE(dice(lungs.mask == 1, mask), 0.96);
  expect_box_within_two_voxels(lungs.box, mask);
}

}  // namespace
}  // namespace x2ctpa
