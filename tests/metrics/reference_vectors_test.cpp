// The `metrics` case of the reference vectors: scikit-image, scikit-learn, scipy and DeLong by its
// covariance formula, with a data range of 700 HU. The volumes are used as stored: a few voxels of
// volume_b lie below the window and were not clipped when the numbers were made.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "x2ctpa/core/files.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/metrics/image_quality.h"
#include "x2ctpa/metrics/statistical_tests.h"

namespace x2ctpa {
namespace {

std::filesystem::path reference_folder() {
  const char* given = std::getenv("X2CTPA_REFERENCE_VECTORS");
  return given ? given : X2CTPA_SOURCE_DIR "/../shared/reference-vectors";
}

class ReferenceVectors : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto folder = reference_folder();
    if (!std::filesystem::exists(folder / "metrics.safetensors")) {
      GTEST_SKIP() << "no reference vectors under " << folder << "; set X2CTPA_REFERENCE_VECTORS";
    }
    tensors = read_safetensors(folder / "metrics.safetensors");
    expected = nlohmann::json::parse(read_file(folder / "cases.json")).at("metrics");
    const auto l = tensors.at("labels"), a = tensors.at("scores1"), b = tensors.at("scores2");
    for (int64_t i = 0; i < l.numel(); ++i) {
      labels.push_back(l[i].item<int>());
      first.push_back(a[i].item<double>());
      second.push_back(b[i].item<double>());
    }
  }

  void expect_relative(double found, const std::string& key, double tolerance = 1e-6) {
    const double value = expected.at(key).get<double>();
    EXPECT_NEAR(found / value, 1, tolerance) << key;
    RecordProperty("relative_error_" + key, fmt::format("{:.2e}", std::abs(found / value - 1)));
  }

  TensorMap tensors;
  nlohmann::json expected;
  std::vector<int> labels;
  std::vector<double> first, second;
};

TEST_F(ReferenceVectors, ImageQualityAgreesWithScikitImage) {
  const ImageQuality q = image_quality(tensors.at("volume_a"), tensors.at("volume_b"), 700);
  expect_relative(q.mae, "mae");
  expect_relative(q.mse, "mse");
  expect_relative(q.psnr_db, "psnr");
  expect_relative(q.ssim_3d, "ssim_gaussian3d", 1e-4);
  expect_relative(q.ssim_2d, "ssim_slicewise_gaussian", 1e-4);
}

TEST_F(ReferenceVectors, RocStatisticsAgreeWithScikitLearnAndDeLong) {
  const AucEstimate one = delong_auc(labels, first), two = delong_auc(labels, second);
  expect_relative(one.auc, "auc1");
  expect_relative(two.auc, "auc2");
  expect_relative(one.standard_error, "delong_se1");
  expect_relative(two.standard_error, "delong_se2");
  const AucComparison paired = delong_paired(labels, first, second);
  expect_relative(paired.z, "delong_z");
  expect_relative(paired.p, "delong_p");
  expect_relative(average_precision(labels, first), "ap1");
  expect_relative(brier_score(labels, first), "brier1");
}

TEST_F(ReferenceVectors, KolmogorovSmirnovAgreesWithScipy) {
  const auto r = kolmogorov_smirnov(first, second);
  expect_relative(r.statistic, "ks_stat");
  expect_relative(r.p, "ks_p");
}

TEST_F(ReferenceVectors, DecisionsAtOneHalfAgreeWithTheirCounts) {
  const Confusion c = confusion_at(labels, first, 0.5);
  const auto& e = expected.at("at_threshold_half");
  EXPECT_EQ(c.true_positive, e.at("tp").get<int>());
  EXPECT_EQ(c.true_negative, e.at("tn").get<int>());
  EXPECT_EQ(c.false_positive, e.at("fp").get<int>());
  EXPECT_EQ(c.false_negative, e.at("fn").get<int>());
  EXPECT_NEAR(c.accuracy().value, e.at("accuracy").get<double>(), 1e-12);
  EXPECT_NEAR(c.sensitivity().value, e.at("sensitivity").get<double>(), 1e-12);
  EXPECT_NEAR(c.specificity().value, e.at("specificity").get<double>(), 1e-12);
  EXPECT_NEAR(c.positive_predictive_value().value, e.at("ppv").get<double>(), 1e-12);
  EXPECT_NEAR(c.negative_predictive_value().value, e.at("npv").get<double>(), 1e-12);
}

}  // namespace
}  // namespace x2ctpa
