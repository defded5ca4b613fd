// Spread, ranking by projection, and the score of a classifier.
#include "x2ctpa/inference/uncertainty.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/imaging/drr/drr.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {
namespace {

TEST(Spread, IsTheMeanAndTheSampleDeviationOfEachVoxel) {
  const test::TemporaryFolder folder;
  std::vector<std::filesystem::path> files;
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < 5; ++i) {
    const auto hu = (100 * case_noise(1, "spread", i, {3, 4, 5})).round();
    all.push_back(hu);
    files.push_back(folder / fmt::format("{}.nii.gz", i));
    write_nifti({hu, {1, 2, 3}, {1, 1, 2}}, files.back(), "test");
  }
  const Spread spread = spread_of(files);
  EXPECT_LT((spread.mean.hu - at::stack(all).mean(0)).abs().max().item<double>(), 1e-4);
  EXPECT_LT((spread.std.hu - at::stack(all).std(0)).abs().max().item<double>(), 1e-4);
  EXPECT_EQ(spread.std.origin_mm, (Vec3{1, 2, 3}));
  write_nifti({at::zeros({3, 4, 4}), {}, {1, 1, 1}}, folder / "other.nii.gz", "test");
  EXPECT_THROW(spread_of({files[0], folder / "other.nii.gz"}), Error);
  EXPECT_THROW(spread_of({files[0]}), Error);
}

// A chest of sorts within the window: lungs cut off at its lower end, a heart, two ribs.
Volume chest(double heart_x) {
  Volume v{at::full({24, 24, 24}, 40.0)};
  v.spacing_mm = {14, 11, 12};
  v.origin_mm = {-161, -126, -138};
  v.hu.slice(0, 3, 21).slice(1, 6, 19).slice(2, 2, 9).fill_(-200);
  v.hu.slice(0, 3, 21).slice(1, 6, 19).slice(2, 15, 22).fill_(-200);
  const int64_t x = int64_t(heart_x);
  v.hu.slice(0, 6, 12).slice(1, 6, 14).slice(2, x, x + 7).fill_(150);
  v.hu.slice(0, 8, 9).fill_(300);
  return v;
}

TEST(ProjectionSimilarity, IsHighestForTheVolumeThatTheXrayWasTakenOf) {
  DatasetInfo info;
  info.grid_dhw = {24, 24, 24};
  Volume taken = chest(10);
  taken.hu = at::where(taken.hu <= -200, at::full_like(taken.hu, -850), taken.hu).contiguous();
  DrrOptions options;
  options.size = 64;
  const auto xray = displayed_xray(render_drr(taken, options)).unsqueeze(0);
  const double own = projection_similarity(chest(10), xray, info);
  EXPECT_GT(own, 0.97);
  double last = own;
  for (const double x : {12.0, 14.0, 16.0}) {
    const double other = projection_similarity(chest(x), xray, info);
    EXPECT_LT(other, last) << x;
    last = other;
  }
  // Exposure and contrast of the X-ray do not count.
  EXPECT_NEAR(projection_similarity(chest(10), 0.3 + 0.4 * xray, info), own, 1e-4);
}

TEST(PeScorer, ScoresVolumesAndRefusesWhatIsNoClassifierOfThem) {
  const test::TemporaryFolder folder;
  DenseNet3dOptions options;
  options.blocks = {1, 1};
  options.growth = options.init_features = 4;
  DenseNet3d model(options);
  save_module(folder / "volumes", *model, options_to_yaml(options));
  const Volume volume{at::full({8, 16, 16}, 20.0)};
  PeScorer scorer(folder / "volumes", {.device = "cpu"});
  const double score = scorer.score(volume, {-200, 500});
  model->eval();
  EXPECT_NEAR(score,
              model->forward(IntensityWindow{-200, 500}.to_unit(volume.hu).view({1, 1, 8, 16, 16}))
                  .sigmoid()
                  .item<double>(),
              1e-6);
  options.planar = true;
  save_module(folder / "pictures", *DenseNet3d(options), options_to_yaml(options));
  EXPECT_THROW(PeScorer(folder / "pictures", {}), Error);
  EXPECT_THROW(PeScorer(folder / "nothing", {}), Error);
}

}  // namespace
}  // namespace x2ctpa
