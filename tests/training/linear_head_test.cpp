#include "training/linear_head.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

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
#include "x2ctpa/models/pe_pair.h"

namespace x2ctpa {
namespace {

at::Tensor noise(const char* stream, at::IntArrayRef shape) {
  return at::randn(shape, random_stream(3, stream), at::TensorOptions(at::kDouble));
}

// Pictures of noise, with a bright corner in the positive half; two parts alike.
LinearCases made_up(int64_t n, double brightness) {
  LinearCases cases;
  cases.labels = at::arange(n).remainder(2).to(at::kDouble);
  for (const char* part : {"first", "second"}) {
    at::Tensor x = noise(part, {n, 1, 6, 6});
    x.slice(2, 0, 3).slice(3, 0, 3) += brightness * cases.labels.view({n, 1, 1, 1});
    cases.inputs.push_back(x[0].to(at::kFloat));
    cases.grids.push_back({1, 6, 6});
    cases.parts.push_back(x.flatten(1));
  }
  for (int64_t i = 0; i < n; ++i) cases.patients.push_back("p" + std::to_string(i));
  return cases;
}

LinearCases first_part(LinearCases cases) {
  cases.parts.resize(1);
  cases.inputs.resize(1);
  cases.grids.resize(1);
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

TEST(PrincipalComponents, AreWhiteWhicheverSideIsLonger) {
  for (const auto& [n, p] : {std::pair<int64_t, int64_t>{20, 50}, {50, 20}}) {
    const at::Tensor x = noise("x", {n, p}) * at::linspace(1, 3, p, at::kDouble);
    const at::Tensor z = principal_components(x, 8).of(x);
    const at::Tensor covariance = at::matmul(z.t(), z) / double(n - 1);
    EXPECT_LT((covariance - at::eye(8, at::kDouble)).abs().max().item<double>(), 1e-9);
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
  const LinearCases cases = first_part(made_up(120, 1.5));
  const LinearHead head = fit_linear_head(cases, options, 1, "test");
  EXPECT_GT(head.auc, 0.95);
  EXPECT_EQ(at::isnan(head.logits).sum().item<int64_t>(), 0);
  const LinearHead blind = fit_linear_head(first_part(made_up(120, 0)), options, 1, "test");
  EXPECT_LT(blind.auc, 0.75);
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
  const LinearCases cases = first_part(made_up(60, 1));
  const LinearHead head = fit_linear_head(cases, options, 1, "test");
  PeNetwork network(head.probe(cases, 0));
  const test::TemporaryFolder folder;
  save_module(folder.path(), network->weights(), network->config());
  PeNetwork again = load_pe_network(folder.path());
  at::NoGradGuard no_grad;
  const at::Tensor x = cases.parts[0].view({60, 1, 6, 6}).to(at::kFloat);
  EXPECT_TRUE(again->forward(x).equal(network->forward(x)));
  const at::Tensor expected = head.model.of(head.parts[0].of(cases.parts[0]));
  EXPECT_LT((again->forward(x).to(at::kDouble) - expected).abs().max().item<double>(), 1e-4);
}

TEST(LinearHead, TwoPartsAreOneRegressionAndSavedAsAPair) {
  LinearHeadOptions options;
  options.components = {6};
  const LinearCases cases = made_up(80, 0.6);
  const LinearHead both = fit_linear_head(cases, options, 1, "test"),
                   one = fit_linear_head(first_part(cases), options, 1, "test");
  EXPECT_GT(both.auc, one.auc);
  PeNetwork first(both.probe(cases, 0)), second(both.probe(cases, 1));
  PePairOptions pair_options{first->options(), second->options(), {1, 6, 6}, {1, 6, 6}};
  PePair pair(pair_options, first, second);
  at::NoGradGuard no_grad;
  const at::Tensor x = at::cat(cases.parts, 1).to(at::kFloat);
  const at::Tensor z =
      at::cat({both.parts[0].of(cases.parts[0]), both.parts[1].of(cases.parts[1])}, 1);
  EXPECT_LT((pair->forward(x).to(at::kDouble) - both.model.of(z)).abs().max().item<double>(), 1e-4);
  const test::TemporaryFolder folder;
  save_module(folder.path(), *pair, options_to_yaml(pair->options()));
  EXPECT_TRUE(load_model<PePair>(folder.path())->forward(x).equal(pair->forward(x)));
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
  const LinearCases xray = first_part(cases);
  LinearCases volume = xray;
  volume.parts[0] = cases.parts[1];
  const LinearHead teacher = fit_linear_head(volume, options, 1, "test");
  const LinearHead student = fit_linear_head(xray, options, 1, "test", teacher.logits);
  const at::Tensor logits = student.model.of(student.parts[0].of(xray.parts[0]));
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
