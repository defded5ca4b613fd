#include "x2ctpa/metrics/image_quality.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <limits>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor axis(int64_t n) { return at::arange(n, at::kDouble); }

at::Tensor wave(int64_t d, int64_t h, int64_t w, double phase) {
  const auto z = axis(d).view({d, 1, 1}), y = axis(h).view({1, h, 1}), x = axis(w).view({1, 1, w});
  return 200 * at::sin(0.31 * z + 0.17 * y + phase) + 150 * at::cos(0.23 * x - 0.11 * z) + 50;
}

TEST(ImageQuality, OfAConstantOffsetIsItsClosedForm) {
  const auto a = at::zeros({4, 5, 6});
  const ImageQuality q = image_quality(a, a + 7, 700);
  EXPECT_DOUBLE_EQ(q.mae, 7);
  EXPECT_DOUBLE_EQ(q.mse, 49);
  EXPECT_DOUBLE_EQ(q.psnr_db, 40);
  // Without structure only the luminance term is left: (2ab + c1) / (a^2 + b^2 + c1), c1 = 49.
  EXPECT_NEAR(q.ssim_3d, 49.0 / (49 + 49), 1e-6);
  EXPECT_NEAR(q.ssim_2d, 49.0 / (49 + 49), 1e-6);
}

TEST(ImageQuality, OfEqualVolumesIsPerfect) {
  const auto a = wave(12, 14, 16, 0);
  const ImageQuality q = image_quality(a, a, 700);
  EXPECT_EQ(q.mae, 0);
  EXPECT_EQ(q.psnr_db, std::numeric_limits<double>::infinity());
  EXPECT_NEAR(q.ssim_3d, 1, 1e-6);
  EXPECT_NEAR(q.ssim_2d, 1, 1e-6);
}

// scikit-image 0.26.0 in float64: structural_similarity(A, B, gaussian_weights=True, sigma=1.5,
// use_sample_covariance=False, data_range=700), the second as the mean over A[i], B[i].
TEST(Ssim, AgreesWithScikitImageOnAnAnisotropicVolume) {
  const auto a = wave(16, 20, 24, 0);
  const auto b = wave(16, 20, 24, 0.3) + 20 * at::cos(0.9 * axis(24));
  const ImageQuality q = image_quality(a, b, 700);
  EXPECT_NEAR(q.ssim_3d, 0.6931908007893359, 1e-5);
  EXPECT_NEAR(q.ssim_2d, 0.6558486643439985, 1e-5);
}

// Structure without luminance: 1% of contrast far from zero. In float32 the mean of squares near
// 810000 has steps of 0.06, more than the variances here.
TEST(Ssim, KeepsSmallVariancesFarFromZero) {
  const auto a = wave(12, 30, 30, 0) * 0.001 - 900, b = wave(12, 30, 30, 0.4) * 0.001 - 900;
  const auto q = image_quality(a, b, 1), swapped = image_quality(b, a, 1);
  const auto scaled = image_quality((a + 900) * 100 - 90000, (b + 900) * 100 - 90000, 100);
  EXPECT_NEAR(q.ssim_3d, scaled.ssim_3d, 1e-3);
  EXPECT_NEAR(q.ssim_3d, swapped.ssim_3d, 1e-3);
  EXPECT_LT(q.ssim_3d, 0.999);
}

TEST(Ssim, WindowShrinksToTheLargestOddLengthThatFits) {
  EXPECT_EQ(ssim_window(256).size(), 11u);
  EXPECT_EQ(ssim_window(11).size(), 11u);
  EXPECT_EQ(ssim_window(10).size(), 9u);
  EXPECT_EQ(ssim_window(2).size(), 1u);
  EXPECT_EQ(ssim_window(1).size(), 1u);
  for (int64_t n : {1, 2, 5, 10, 11}) {
    float sum = 0;
    for (float weight : ssim_window(n)) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-6);
  }
  EXPECT_TRUE(std::isfinite(image_quality(wave(1, 3, 2, 0), wave(1, 3, 2, 1), 700).ssim_3d));
}

TEST(Ssim, OfOneSliceIsTheSameIn2DAnd3D) {
  const ImageQuality q = image_quality(wave(1, 40, 30, 0), wave(1, 40, 30, 0.5), 700);
  EXPECT_NEAR(q.ssim_2d, q.ssim_3d, 1e-6);
}

// pytorch-msssim 1.0.0 in float64: ms_ssim(a, b, data_range=700, win_size=11) of 176^3 voxels.
TEST(MsSsim, AgreesWithPytorchMsssimWhereEveryWindowFits) {
  const auto a = wave(176, 176, 176, 0).to(at::kFloat);
  const auto b = (wave(176, 176, 176, 0.3) + 20 * at::cos(0.9 * axis(176))).to(at::kFloat);
  EXPECT_NEAR(image_quality(a, b, 700).ms_ssim_3d, 0.9694364698503072, 1e-5);
}

TEST(MsSsim, WorksAtDepth128AndOnSmallGridsAndIsOneForEqualVolumes) {
  for (const auto& size : {std::array<int64_t, 3>{128, 40, 48}, {24, 48, 48}, {2, 3, 1}}) {
    const auto a = wave(size[0], size[1], size[2], 0), b = wave(size[0], size[1], size[2], 0.4);
    EXPECT_NEAR(image_quality(a, a, 700).ms_ssim_3d, 1, 1e-5);
    const double different = image_quality(a, b, 700).ms_ssim_3d;
    EXPECT_TRUE(different > 0 && different < 1) << different;
  }
}

TEST(MaskedQuality, SeesNothingOutsideTheMaskAndAllOfItWithinAFullOne) {
  const auto a = wave(16, 20, 24, 0).to(at::kFloat), b = wave(16, 20, 24, 0.3).to(at::kFloat);
  const ImageQuality whole = image_quality(a, b, 700);
  const MaskedQuality full = masked_quality(a, b, at::ones({16, 20, 24}), 700);
  EXPECT_NEAR(full.mae, whole.mae, 1e-6);
  EXPECT_NEAR(full.psnr_db, whole.psnr_db, 1e-9);
  EXPECT_NEAR(full.ssim_3d, whole.ssim_3d, 1e-6);
  auto mask = at::zeros({16, 20, 24}, at::kBool), changed = a.clone();
  mask.slice(2, 0, 12).fill_(true);
  changed.slice(2, 12).add_(50);
  const MaskedQuality half = masked_quality(a, changed, mask, 700);
  EXPECT_EQ(half.mae, 0);
  EXPECT_EQ(half.voxels, 16 * 20 * 12);
  EXPECT_LT(half.ssim_3d, 1) << "windows at the edge of the mask reach over it";
  EXPECT_THROW(masked_quality(a, b, at::zeros({16, 20, 24}), 700), Error);
}

// scikit-image 0.26.0 in float64: structural_similarity with its defaults, mean over slices, and
// 10 log10(700^2 / mse) of slices, of the three axes.
TEST(PlanesQuality, AgreesWithScikitImageAlongThreeAxes) {
  const auto a = wave(16, 20, 24, 0);
  const auto b = wave(16, 20, 24, 0.3) + 20 * at::cos(0.9 * axis(24));
  const PlanesQuality q = planes_quality(a, b, 700);
  EXPECT_NEAR(q.psnr_db, 23.988882384008893, 1e-5);
  EXPECT_NEAR(q.ssim, 0.7034797827195894, 1e-5);
}

TEST(X2ctQuality, TakesAPeakOf4095OnARangeOf2500) {
  // CT numbers that single precision keeps whole: 1000 and 1004.
  const auto truth = at::full({6, 7, 8}, -24.0), image = at::full({6, 7, 8}, -20.0);
  const X2ctQuality q = x2ct_quality(truth, image);
  EXPECT_EQ(q.mae, 4);
  EXPECT_EQ(q.mse, 16);
  EXPECT_NEAR(q.psnr_db, 20 * std::log10(4095 / 4.0), 1e-9);
  EXPECT_NEAR(q.psnr_db - psnr_db(16, 2500), 4.29, 0.005);
  EXPECT_NEAR(q.planes_psnr_db, q.psnr_db, 1e-9);
  EXPECT_NEAR(q.cosine, 1, 1e-12);
  const X2ctQuality equal = x2ct_quality(truth, truth);
  EXPECT_EQ(equal.psnr_db, 100);
  EXPECT_EQ(equal.planes_psnr_db, 100);
  // 7 / 2500 * 2500 is less than 7 in single precision.
  EXPECT_EQ(x2ct_quality(at::full({2, 2, 2}, -1024.0), at::full({2, 2, 2}, -1017.0)).mae, 6);
  EXPECT_EQ(x2ct_quality(at::full({2, 2, 2}, 1476.0), at::full({2, 2, 2}, 3000.0)).mae, 0);
}

TEST(ImageQuality, IsTheSameWithAnyNumberOfThreads) {
  const auto a = wave(20, 70, 40, 0), b = wave(20, 70, 40, 0.2);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const ImageQuality one = image_quality(a, b, 700);
  at::set_num_threads(2);
  const ImageQuality two = image_quality(a, b, 700);
  at::set_num_threads(before);
  EXPECT_EQ(one.mae, two.mae);
  EXPECT_EQ(one.mse, two.mse);
  EXPECT_EQ(one.ssim_2d, two.ssim_2d);
  EXPECT_EQ(one.ssim_3d, two.ssim_3d);
}

TEST(ImageQuality, OfStridedAndIntegerTensorsIsThatOfTheirValues) {
  const auto a = wave(12, 13, 14, 0).round(), b = wave(12, 13, 14, 1).round();
  const ImageQuality plain = image_quality(a, b, 700);
  const ImageQuality other =
      image_quality(a.to(at::kShort), b.transpose(0, 2).contiguous().transpose(0, 2), 700);
  EXPECT_EQ(plain.mse, other.mse);
  EXPECT_EQ(plain.ssim_3d, other.ssim_3d);
}

TEST(ImageQuality, SimilarityOfEqualVolumesIsOneAndNotMore) {
  // Sums in single precision came to 1.000000006.
  const auto a = (at::randn({24, 40, 40}) * 300).contiguous();
  const ImageQuality quality = image_quality(a, a, 700);
  for (const double value : {quality.ssim_2d, quality.ssim_3d, quality.ms_ssim_3d}) {
    EXPECT_LE(value, 1);
    EXPECT_NEAR(value, 1, 1e-6);
  }
}

TEST(ImageQuality, RefusesOtherShapesAndRangesAndPassesNanOn) {
  const auto a = at::zeros({2, 3, 4});
  EXPECT_THROW(image_quality(a, at::zeros({2, 3, 5}), 700), Error);
  EXPECT_THROW(image_quality(a, a, 0), Error);
  EXPECT_THROW(image_quality(at::zeros({3, 4}), at::zeros({3, 4}), 700), Error);
  EXPECT_THROW(image_quality(at::zeros({0, 3, 4}), at::zeros({0, 3, 4}), 700), Error);
  auto broken = a.clone();
  broken[1][2][3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(image_quality(a, broken, 700).mae));
}

}  // namespace
}  // namespace x2ctpa
