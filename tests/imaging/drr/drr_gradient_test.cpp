// The gradient of a rendered X-ray with respect to the volume, and both by products of matrices.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "imaging/drr/drr_rays.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/imaging/drr/drr.h"

namespace x2ctpa {
namespace {

// Values on all three straight pieces of the attenuation, away from its two corners.
Volume rough() {
  Volume volume;
  const auto noise = case_noise(1, "drr", 0, {9, 11, 13});
  const auto kind = case_noise(2, "drr", 0, {9, 11, 13});
  volume.hu = at::where(kind > 0.7, 600 + 60 * noise, -300 + 100 * noise);
  volume.hu = at::where(kind < -1.2, at::full_like(volume.hu, -1500), volume.hu).contiguous();
  volume.spacing_mm = {7, 9, 11};
  volume.origin_mm = {-40, 20, -60};
  return volume;
}

DrrOptions small_picture() {
  DrrOptions options;
  options.size = 40;
  options.step_mm = 4;
  options.geometry = {.source_to_detector_mm = 700, .source_to_centre_mm = 550, .detector_mm = 130};
  return options;
}

const Vec3 centre{5, 60, -20};  // not the volume's middle: some rays miss it

double total(const at::Tensor& picture, const at::Tensor& weights) {
  return (picture.to(at::kDouble) * weights).sum().item<double>();
}

TEST(DrrGradient, IsThatOfFiniteDifferences) {
  const auto weights = case_noise(3, "weights", 0, {40, 40});
  for (const BeamView view : {BeamView::pa, BeamView::ap, BeamView::lateral}) {
    DrrOptions options = small_picture();
    options.view = view;
    const Volume volume = rough();
    const auto gradient = drr_gradient(volume, options, weights, centre);
    const double scale = gradient.abs().max().item<double>();
    ASSERT_GT(scale, 0);
    int flat = 0;
    for (const auto& voxel : {std::array{0, 0, 0},
                              {4, 5, 6},
                              {8, 10, 12},
                              {2, 9, 3},
                              {7, 1, 11},
                              {5, 5, 0},
                              {3, 8, 8},
                              {6, 6, 6}}) {
      const auto of_voxel = [&](at::Tensor values) {
        for (const int index : voxel) values = values[index];
        return values;
      };
      const auto changed = [&](double by) {
        Volume v = volume;
        v.hu = volume.hu.clone();
        of_voxel(v.hu) += by;
        return total(render_drr(v, options, centre), weights);
      };
      const double expected = (changed(40) - changed(-40)) / 80;
      EXPECT_NEAR(of_voxel(gradient).item<double>(), expected, 2e-3 * scale)
          << voxel[0] << voxel[1] << voxel[2];
      flat += expected == 0;
    }
    EXPECT_LT(flat, 5) << "most of these voxels are seen";
  }
}

TEST(DrrGradient, IsTheTransposeOfTheProjection) {
  // Attenuation is linear here, so <w, P a> = <P^T w, a> for the whole volume.
  Volume volume = rough();
  volume.hu = (case_noise(4, "linear", 0, {9, 11, 13}) * 100 - 400).contiguous();
  const DrrOptions options = small_picture();
  const auto weights = case_noise(3, "weights", 0, {40, 40});
  const auto gradient = drr_gradient(volume, options, weights, centre).to(at::kDouble);
  const double spread = (gradient * (volume.hu + 1000)).sum().item<double>();
  const double projected = total(render_drr(volume, options, centre), weights);
  EXPECT_NEAR(spread, projected, 1e-4 * std::abs(projected));
}

TEST(DrrGradient, DoesNotDependOnThreads) {
  const auto weights = case_noise(3, "weights", 0, {40, 40});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = drr_gradient(rough(), small_picture(), weights, centre);
  at::set_num_threads(4);
  const auto four = drr_gradient(rough(), small_picture(), weights, centre);
  at::set_num_threads(before);
  EXPECT_TRUE(one.equal(four));
}

TEST(DrrGradient, ProductsOfMatricesAreTheSame) {
  const Volume volume = rough();
  const DrrOptions options = small_picture();
  const ConeBeam beam = cone_beam(options, centre);
  const auto mu = attenuation(volume.hu, options);
  const auto weights = case_noise(3, "weights", 0, {40, 40});
  const auto near = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>() / a.abs().max().item<double>();
  };
  for (const double step_mm : {4.0, 0.9}) {  // fewer slabs than are taken at once, and more
    const auto picture = project_layers(mu, volume, beam, step_mm, false);
    EXPECT_GT(picture.max().item<double>(), 0.1);
    EXPECT_LT(near(picture, project_matrices(mu, volume, beam, step_mm)), 2e-6);
    EXPECT_LT(near(spread_layers(weights, volume, beam, step_mm),
                   spread_matrices(weights, volume, beam, step_mm)),
              1e-5);
  }
}

TEST(DrrGradient, IsRefusedWhereThereIsNone) {
  DrrOptions options = small_picture();
  const auto weights = at::zeros({40, 40});
  Volume turned = rough();
  turned.direction = {{{0, 1, 0}, {1, 0, 0}, {0, 0, 1}}};
  EXPECT_THROW(drr_gradient(turned, options, weights), Error);
  options.method = DrrMethod::siddon;
  EXPECT_THROW(drr_gradient(rough(), options, weights), Error);
}

}  // namespace
}  // namespace x2ctpa
