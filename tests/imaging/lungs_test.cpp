#include "x2ctpa/imaging/lungs.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/real_data.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

using test::real_data;

/// True inside the ellipsoid at `centre_mm` with these half axes, over the voxels of `v`.
torch::Tensor ellipsoid(const Volume& v, const Vec3& centre_mm, const Vec3& half_mm) {
  const auto size = v.size_dhw();
  auto sum = torch::zeros({size[0], size[1], size[2]});
  for (int a = 0; a < 3; ++a) {
    std::vector<int64_t> shape{1, 1, 1};
    shape[2 - a] = size[2 - a];
    const auto x = torch::arange(size[2 - a], torch::kFloat) * v.spacing_mm[a] + (v.origin_mm[a] - centre_mm[a]);
    sum = sum + (x / half_mm[a]).square().reshape(shape);
  }
  return sum <= 1;
}

/// A body with two lungs of 4/3 pi 60*75*110 mm^3 each, a trachea and gas in the bowels.
Volume chest(const Vec3& spacing) {
  Volume v{torch::full({int64_t(320 / spacing[2]), int64_t(300 / spacing[1]), int64_t(400 / spacing[0])}, -1000.0f),
           {-200, -150, 0}, spacing};
  v.hu.masked_fill_(ellipsoid(v, {0, 0, 160}, {180, 120, 1e4}), 40);
  for (double side : {-1.0, 1.0}) v.hu.masked_fill_(ellipsoid(v, {side * 85, 0, 170}, {60, 75, 110}), -850);
  v.hu.masked_fill_(ellipsoid(v, {60, -20, 25}, {40, 40, 20}), -1000);
  v.hu.masked_fill_(ellipsoid(v, {0, 20, 300}, {9, 9, 90}), -1000);
  return v;
}

const double chest_litres = 2 * 4.0 / 3 * M_PI * 60 * 75 * 110 * 1e-6;

TEST(Lungs, simulated_lungs_have_their_volume_at_any_resolution) {
  for (const Vec3& spacing : {Vec3{1.5, 1.5, 2.5}, Vec3{4, 4, 5}}) {
    const Lungs lungs = segment_lungs(chest(spacing));
    EXPECT_NEAR(lungs.litres, chest_litres, 0.05 * chest_litres);
    EXPECT_FALSE(lungs.cut_off);
    EXPECT_NEAR(double(lungs.box.first[0]) * spacing[2], 60, 10);
  }
}

TEST(Lungs, a_scan_that_ends_inside_them_is_cut_off) {
  Volume v = chest({3, 3, 4});
  v.hu = v.hu.slice(0, 30, 80).contiguous();
  EXPECT_TRUE(segment_lungs(v).cut_off);
}

TEST(Lungs, a_block_of_water_has_none) {
  Volume v{torch::zeros({40, 40, 40}), {0, 0, 0}, {5, 5, 5}};
  EXPECT_THROW(segment_lungs(v), Error);
  v.hu.fill_(-1000);
  EXPECT_THROW(body_box(v), Error);
}

TEST(Body, box_spans_the_body) {
  const Volume v = chest({3, 3, 4});
  const Box box = body_box(v);
  EXPECT_NEAR(double(box.first[2]) * 3 - 200, -180, 6);
  EXPECT_NEAR(double(box.last[1]) * 3 - 150, 120, 6);
}

double dice(const torch::Tensor& a, const torch::Tensor& b) {
  const double both = a.logical_and(b).sum().item<double>();
  return 2 * both / (a.sum().item<double>() + b.sum().item<double>());
}

TEST(Lungs, of_a_real_scan_agree_with_its_labels) {
  X2CTPA_NEEDS_REAL_DATA("ct_volume");
  const Volume ct = oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm.nii.gz")));
  const auto labels = oriented_to_lps(read_volume(real_data("ct_volume/LIDC-IDRI-0001_2mm_labels118.nii.gz"))).hu;
  const Lungs lungs = segment_lungs(ct);
  const auto lobes = (labels >= 10).logical_and(labels <= 14);
  EXPECT_GE(dice(lungs.mask == 1, lobes), 0.97);
  EXPECT_NEAR(lungs.litres, 3.70, 0.05 * 3.70);
}

TEST(Lungs, of_a_coarse_real_scan_agree_with_its_mask) {
  X2CTPA_NEEDS_REAL_DATA("ct_volume");
  const Volume ct = oriented_to_lps(read_volume(real_data("ct_volume/CIP_ct-64.nrrd")));
  const auto mask = oriented_to_lps(read_volume(real_data("ct_volume/CIP_ct-64_wholeLung.nrrd"))).hu > 0;
  EXPECT_GE(dice(segment_lungs(ct).mask == 1, mask), 0.96);
}

}  // namespace
}  // namespace x2ctpa
