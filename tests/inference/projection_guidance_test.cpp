// Pulling a volume towards its X-ray.
#include "x2ctpa/inference/projection_guidance.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <utility>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/inference/uncertainty.h"

namespace x2ctpa {
namespace {

// A chest of sorts: two lungs, a heart at `x`.
at::Tensor chest(int64_t x) {
  auto hu = at::full({24, 24, 24}, 40.0);
  hu.slice(0, 3, 21).slice(1, 6, 19).slice(2, 2, 9).fill_(-850);
  hu.slice(0, 3, 21).slice(1, 6, 19).slice(2, 15, 22).fill_(-850);
  hu.slice(0, 6, 12).slice(1, 6, 14).slice(2, x, x + 7).fill_(150);
  return hu;
}

DatasetInfo info() {
  DatasetInfo info;
  info.grid_dhw = {24, 24, 24};
  info.typical_spacing_mm = {14, 11, 12};
  info.window = {-1000, 500};
  return info;
}

at::Tensor xray_of(const at::Tensor& hu) {
  DrrOptions options;
  options.size = 64;
  options.geometry = info().geometry;
  const auto lines = render_drr({hu, {0, 0, 0}, info().typical_spacing_mm}, options);
  return 0.1 + 0.8 * lines / lines.max();
}

double energy(const at::Tensor& hu, const at::Tensor& cxr) {
  return projection_residual(hu, cxr, info(), false)
      .picture.square()
      .sum(at::kDouble)
      .item<double>();
}

// The latents are the volume itself.
const ProjectionGuidance::Decoder as_volume{
    [](const at::Tensor& x) { return x; },
    [](const at::Tensor&, const at::Tensor&, const at::Tensor& other) { return other; }};
at::Tensor as_latent(const at::Tensor& hu) {
  return info().window.to_unit(hu).unsqueeze(0).unsqueeze(0);
}
at::Tensor as_hu(const at::Tensor& x) { return info().window.to_hu(x[0][0].clamp(-1, 1)); }

TEST(ProjectionResidual, IsLeastForTheVolumeOfTheXrayAtAnyExposure) {
  const auto xray = xray_of(chest(9));
  const double own = energy(chest(9), xray), other = energy(chest(12), xray);
  EXPECT_LT(own, 0.01 * other);
  EXPECT_GT(projection_residual(chest(9), xray, info(), false).correlation, 0.99);
  EXPECT_NEAR(energy(chest(12), 0.2 + 0.5 * xray), other, 1e-3 * other);
  // What lies outside the range of grey levels says nothing.
  auto clipped = xray.clone();
  clipped.slice(1, 0, 20).fill_(1);
  const auto residual = projection_residual(chest(12), clipped, info(), false).picture;
  EXPECT_EQ(residual.slice(1, 0, 20).abs().max().item<double>(), 0);
}

TEST(ProjectionResidual, HasTheGradientOfFiniteDifferences) {
  const auto xray = xray_of(chest(9));
  const auto hu = (chest(12) + 10 * case_noise(1, "hu", 0, {24, 24, 24})).contiguous();
  const auto found = projection_residual(hu, xray, info(), true);
  EXPECT_EQ(found.hu_gradient.sizes(), hu.sizes());
  // Along the gradient and along a direction of chance, by the whole volume.
  for (const auto& direction :
       {found.hu_gradient / found.hu_gradient.abs().max(), case_noise(2, "way", 0, {24, 24, 24})}) {
    const double step = 0.25;
    const double expected =
        0.5 * (energy(hu + step * direction, xray) - energy(hu - step * direction, xray)) /
        (2 * step);
    const double along = (found.hu_gradient * direction).sum(at::kDouble).item<double>();
    EXPECT_NEAR(along, expected, 0.05 * std::abs(expected));
  }
}

TEST(ProjectionGuidance, PullsTowardsTheXrayByTheShareThatIsAsked) {
  const auto xray = xray_of(chest(9)).unsqueeze(0);
  const auto start = as_latent(chest(10));
  double before = energy(chest(10), xray[0]);
  for (const double strength : {0.3, 1.0}) {
    const ProjectionGuidance guidance({.strength = strength}, info(), {});
    const auto pulled = guidance.pulled(start, xray, as_volume);
    const double after = energy(as_hu(pulled), xray[0]);
    EXPECT_LT(after, 0.95 * before) << strength;
    before = after;
  }
  // Another patient's X-ray pulls elsewhere.
  const ProjectionGuidance guidance({.strength = 1}, info(), {});
  const auto other = guidance.pulled(start, xray_of(chest(13)).unsqueeze(0), as_volume);
  EXPECT_GT(energy(as_hu(other), xray[0]), energy(chest(10), xray[0]));
}

TEST(ProjectionGuidance, IsTheSameAtAnyExposure) {
  const auto xray = xray_of(chest(9)).unsqueeze(0);
  const auto start = as_latent(chest(10));
  const ProjectionGuidance guidance({.strength = 1}, info(), {});
  const auto moved = guidance.pulled(start, xray, as_volume) - start;
  for (const auto& [shift, scale] : {std::pair{0.3, 0.5}, {0.01, 0.9}, {0.6, 0.1}}) {
    const auto other = guidance.pulled(start, shift + scale * xray, as_volume) - start;
    EXPECT_LT((other - moved).norm().item<double>(), 1e-3 * moved.norm().item<double>())
        << shift << " + " << scale << " x";
  }
}

TEST(ProjectionGuidance, MovesAlongLikelyDirectionsAlone) {
  const auto likely = at::zeros({1, 1, 24, 24, 24});
  likely.slice(2, 6, 12).fill_(1);
  const ProjectionGuidance guidance({.strength = 1}, info(),
                                    [&](const at::Tensor& x) { return x * likely; });
  const auto start = as_latent(chest(10));
  const auto moved = guidance.pulled(start, xray_of(chest(9)).unsqueeze(0), as_volume) - start;
  EXPECT_EQ((moved * (1 - likely)).abs().max().item<double>(), 0);
  EXPECT_GT(moved.abs().max().item<double>(), 1e-3);
}

TEST(ProjectionGuidance, LeavesWhatIsAsLikeItsXrayAsItShallBe) {
  const auto xray = xray_of(chest(9)).unsqueeze(0);
  const auto start = as_latent(chest(10));
  const double now = projection_residual(chest(10), xray[0], info(), false).correlation;
  const auto moved = [&](double until) {
    const ProjectionGuidance guidance({.strength = 1, .until = until}, info(), {});
    return !guidance.pulled(start, xray, as_volume).equal(start);
  };
  EXPECT_FALSE(moved(now - 0.01));
  EXPECT_TRUE(moved(now + 0.01));
}

TEST(ProjectionGuidance, ActsInItsIntervalAndAtTheLastStep) {
  const ProjectionGuidance guidance({.strength = 1, .interval = {0.5, 2}, .every = 3}, info(), {});
  EXPECT_TRUE(guidance.acts({0.7, 0.7}, 0));
  EXPECT_FALSE(guidance.acts({0.7, 0.7}, 1));
  EXPECT_TRUE(guidance.acts({0.7, 0.7}, 3));
  EXPECT_FALSE(guidance.acts({0.95, 0.3}, 0)) << "below the interval";
  EXPECT_FALSE(guidance.acts({0, 1}, 0)) << "pure noise";
  EXPECT_TRUE(ProjectionGuidance({.strength = 1}, info(), {}).acts({0, 1}, 0));
  EXPECT_FALSE(ProjectionGuidance({.strength = 0}, info(), {}).acts({0.7, 0.7}, 0));
}

TEST(ProjectionGuidance, IsRefusedWhereAProjectionSaysNothing) {
  DatasetInfo pictures = info();
  pictures.source = PictureSource::picture;
  EXPECT_THROW(ProjectionGuidance({.strength = 1}, pictures, {}), Error);
  DatasetInfo magnetic = info();
  magnetic.unit = "";
  EXPECT_THROW(ProjectionGuidance({.strength = 1}, magnetic, {}), Error);
  EXPECT_THROW(ProjectionGuidance({.strength = 1, .interval = {2, 1}}, info(), {}), Error);
}

}  // namespace
}  // namespace x2ctpa
