#include "training/linear_head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/temporary_folder.h"
#include "training/logistic_regression.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_network.h"

namespace x2ctpa {
namespace {

at::Tensor noise(const char* stream, at::IntArrayRef shape) {
  return at::randn(shape, random_stream(3, stream), at::TensorOptions(at::kDouble));
}

// Pictures of noise, with a bright corner in the positive half.
LinearCases made_up(int64_t n, double brightness, const char* stream = "first") {
  LinearCases cases;
  cases.labels = at::arange(n).remainder(2).to(at::kDouble);
  at::Tensor x = noise(stream, {n, 1, 6, 6});
  x.slice(2, 0, 3).slice(3, 0, 3) += brightness * cases.labels.view({n, 1, 1, 1});
  cases.views.push_back({{{1, 6, 6}}, x.flatten(1)});
  for (int64_t i = 0; i < n; ++i) cases.patients.push_back("p" + std::to_string(i));
  return cases;
}

TEST(LogisticRegression, GradientOfThePenalisedLossIsZeroAtItsEnd) {
  for (const double penalty : {1e-3, 1.0, 300.0}) {
    const at::Tensor z = noise("z", {80, 7});
    const at::Tensor y = (z.select(1, 0) + noise("y", {80}) > 0).to(at::kDouble);
    const LinearModel model = logistic_regression(z, y, penalty);
    const at::Tensor residual = model.of(z).sigmoid() - y;
    const at::Tensor gradient = at::matmul(z.t(), residual) + penalty * model.weight;
    EXPECT_LT(gradient.abs().max().item<double>(), 1e-8) << penalty;
    EXPECT_LT(std::abs(residual.sum().item<double>()), 1e-8) << penalty;
  }
}

TEST(LogisticRegression, HasOneOptimumForClassesThatLieApart) {
  const at::Tensor z = at::tensor({-3.0, -2.0, 2.0, 3.0}, at::kDouble).unsqueeze(1);
  const at::Tensor y = at::tensor({0.0, 0.0, 1.0, 1.0}, at::kDouble);
  const LinearModel model = logistic_regression(z, y, 0.01);
  EXPECT_GT(model.weight[0].item<double>(), 1);
  EXPECT_NEAR(model.bias, 0, 1e-8);
  EXPECT_TRUE(((model.of(z) > 0).to(at::kDouble) == y).all().item<bool>());
}

TEST(LogisticRegression, OfGroupsGivesTheirLogOdds) {
  // Three of four against one of four: the saturated model knows both shares.
  const at::Tensor z = at::tensor({0., 0., 0., 0., 1., 1., 1., 1.}, at::kDouble).unsqueeze(1);
  const at::Tensor y = at::tensor({0., 0., 0., 1., 0., 1., 1., 1.}, at::kDouble);
  const LinearModel model = logistic_regression(z, y, 1e-9);
  EXPECT_NEAR(model.bias, -std::log(3.0), 1e-6);
  EXPECT_NEAR(model.weight[0].item<double>(), 2 * std::log(3.0), 1e-6);
}

TEST(RidgeRegression, SolvesItsNormalEquations) {
  const at::Tensor z = noise("z", {40, 5}), t = noise("t", {40});
  const LinearModel model = ridge_regression(z, t, 2);
  const at::Tensor residual = model.of(z) - t;
  EXPECT_LT((at::matmul(z.t(), residual) + 2 * model.weight).abs().max().item<double>(), 1e-8);
  EXPECT_LT(std::abs(residual.sum().item<double>()), 1e-8);
}

TEST(PrincipalComponents, KeepTheirProportionsWhicheverSideIsLonger) {
  for (const auto& [n, p] : {std::pair<int64_t, int64_t>{20, 50}, {50, 20}}) {
    const at::Tensor x = noise("x", {n, p}) * at::linspace(1, 3, p, at::kDouble);
    const at::Tensor z = principal_components(x, 8).of(x);
    const at::Tensor covariance = at::matmul(z.t(), z) / double(n - 1);
    const at::Tensor variances =
        std::get<0>(at::linalg_eigh(at::cov(x.t()))).flip(0).slice(0, 0, 8);
    EXPECT_LT((covariance - at::diag(variances / variances[0])).abs().max().item<double>(), 1e-9);
  }
}

TEST(PrincipalComponents, AreNeverMoreThanTheCasesHold) {
  const at::Tensor x = noise("x", {6, 50});
  EXPECT_EQ(principal_components(x, 60).directions.size(0), 5);
  const at::Tensor flat = noise("u", {30, 2}).matmul(noise("v", {2, 40}));
  EXPECT_EQ(principal_components(flat, 20).directions.size(0), 2);
}

TEST(LinearHead, FindsASignAndChoosesItsSizesByCrossValidation) {
  LinearHeadOptions options;
  options.components = {2, 10};
  const LinearCases cases = made_up(120, 1.5);
  const LinearHead head = fit_linear_head(cases, options, 1, "test");
  EXPECT_GT(head.auc, 0.95);
  EXPECT_EQ(at::isnan(head.logits).sum().item<int64_t>(), 0);
  const LinearHead blind = fit_linear_head(made_up(120, 0), options, 1, "test");
  EXPECT_LT(blind.auc, 0.75);
}

TEST(LinearHead, SeesVolumesThroughTheWindowThatTellsMost) {
  LinearHeadOptions options;
  // A faint sign within a narrow range, below noise of a wide one.
  LinearCases cases = made_up(120, 0);
  at::Tensor x = 0.02 * noise("narrow", {120, 36});
  x.slice(1, 0, 6) += 0.03 * cases.labels.unsqueeze(1);
  x = at::where(noise("where", {120, 36}) > 0, x, x - 1 - noise("wide", {120, 36}).abs());
  LinearProbeOptions clipped{{1, 6, 6}};
  clipped.window = {-0.1, 0.1};
  cases.views = {{{{1, 6, 6}}, x},
                 {clipped, averaged_to_grid(x.view({120, 1, 6, 6}), clipped.grid, clipped.window)}};
  const LinearHead head = fit_linear_head(cases, options, 1, "test");
  EXPECT_EQ(head.view, 1u);
  LinearProbe probe = head.probe(cases);
  at::NoGradGuard no_grad;
  const at::Tensor expected = head.model.of(head.components.of(cases.views[1].rows));
  const at::Tensor found = probe->forward(x.view({120, 1, 6, 6}).to(at::kFloat));
  EXPECT_LT((found.to(at::kDouble) - expected).abs().max().item<double>(), 1e-3);
}

TEST(LinearHead, IsTheSameBitForBitEachTime) {
  const LinearHeadOptions options;
  const LinearCases cases = made_up(50, 0.5);
  const LinearHead a = fit_linear_head(cases, options, 1, "test"),
                   b = fit_linear_head(cases, options, 1, "test");
  EXPECT_TRUE(a.model.weight.equal(b.model.weight));
  EXPECT_EQ(a.model.bias, b.model.bias);
  EXPECT_TRUE(a.held_out.equal(b.held_out));
}

TEST(LinearHead, SavedProbeGivesTheLogitsOfTheFit) {
  LinearHeadOptions options;
  options.components = {5};
  const LinearCases cases = made_up(60, 1);
  const LinearHead head = fit_linear_head(cases, options, 1, "test");
  PeNetwork network(head.probe(cases));
  const test::TemporaryFolder folder;
  save_module(folder.path(), network->weights(), network->config());
  PeNetwork again = load_pe_network(folder.path());
  at::NoGradGuard no_grad;
  const at::Tensor x = cases.views[0].rows.view({60, 1, 6, 6}).to(at::kFloat);
  EXPECT_TRUE(again->forward(x).equal(network->forward(x)));
  const at::Tensor expected = head.model.of(head.components.of(cases.views[0].rows));
  EXPECT_LT((again->forward(x).to(at::kDouble) - expected).abs().max().item<double>(), 1e-4);
}

TEST(LinearHead, FoldsKeepPatientsWholeAndClassesEven) {
  LinearCases cases = made_up(40, 0);
  for (size_t i = 0; i < 40; ++i) cases.patients[i] = "p" + std::to_string(i / 4 * 2 + i % 2);
  cases.labels[0] = std::numeric_limits<double>::quiet_NaN();
  const auto folds = stratified_folds(cases, 5, 1, "test");
  EXPECT_EQ(folds[0], -1);
  for (size_t i = 1; i < 40; ++i) {
    for (size_t j = 1; j < 40; ++j) {
      if (cases.patients[i] == cases.patients[j]) {
        EXPECT_EQ(folds[i], folds[j]);
      }
    }
  }
  for (int64_t fold = 0; fold < 5; ++fold) {
    int64_t positives = 0;
    for (size_t i = 0; i < 40; ++i) positives += folds[i] == fold && i % 2 == 1;
    EXPECT_EQ(positives, 4);
  }
}

TEST(LinearHead, LearnsTargetsOfUnlabelledCasesToo) {
  LinearHeadOptions options;
  options.components = {6};
  LinearCases cases = made_up(200, 1);
  const at::Tensor truth = cases.labels.clone();
  cases.labels.slice(0, 40).fill_(std::numeric_limits<double>::quiet_NaN());
  const LinearCases xray = cases;
  LinearCases volume = xray;
  volume.views = made_up(200, 1, "second").views;
  const LinearHead teacher = fit_linear_head(volume, options, 1, "test");
  const at::Tensor taught = taught_labels(teacher, xray.labels);
  EXPECT_TRUE(taught.slice(0, 0, 40).equal(truth.slice(0, 0, 40)));
  EXPECT_FALSE(taught.isnan().any().item<bool>());
  const LinearHead student = fit_linear_head(xray, options, 1, "test", taught);
  const at::Tensor logits = student.model.of(student.components.of(xray.views[0].rows));
  std::vector<int> y;
  std::vector<double> s;
  for (int64_t i = 40; i < 200; ++i) {
    y.push_back(truth[i].item<double>() > 0.5);
    s.push_back(logits[i].item<double>());
  }
  EXPECT_GT(roc_auc(y, s), 0.85);
}

}  // namespace
}  // namespace x2ctpa
