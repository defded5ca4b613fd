#include <torch/optim/adam.h>
#include <vector>

#include "x2ctpa/models/vqgan3d.h"

#include "models/helpers.h"

namespace x2ctpa {
namespace {

using test::expect_error;
using test::relative_error;

Vqgan3dOptions small(std::vector<int64_t> downsample = {2, 4, 4}) {
  Vqgan3dOptions o;
  o.hidden_channels = 4;
  o.embedding_dim = 3;
  o.codes = 16;
  o.downsample = std::move(downsample);
  return o;
}

TEST(Vqgan3d, HalvesEachAxisAsOftenAsItsFactorSays) {
  Vqgan3d model(small({1, 2, 4}));
  model->eval();
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({2, 1, 3, 8, 12});
  const auto out = model->forward(x);
  EXPECT_EQ(out.z.sizes(), at::IntArrayRef({2, 3, 3, 4, 3}));
  EXPECT_EQ(out.reconstruction.sizes(), x.sizes());
  EXPECT_EQ(out.codes.indices.sizes(), at::IntArrayRef({2, 3, 4, 3}));
  EXPECT_EQ(model->latent_size({3, 8, 12}), (std::vector<int64_t>{3, 4, 3}));
}

TEST(Vqgan3d, FeedsAGradientToEveryParameter) {
  Vqgan3d model(small());
  const auto x = torch::randn({1, 1, 8, 8, 8});
  const auto out = model->forward(x);
  ((out.reconstruction - x).square().mean() + at::mse_loss(out.codes.z, out.codes.nearest))
      .backward();
  EXPECT_EQ(test::parameters_without_gradient(*model), "");
}

TEST(Vqgan3d, GivesTheSameWithAndWithoutGradients) {
  Vqgan3d model(small());
  model->eval();
  const auto x = torch::randn({1, 1, 8, 8, 8});
  const auto with = model->forward(x).reconstruction;
  torch::NoGradGuard no_grad;
  EXPECT_LT(relative_error(model->forward(x).reconstruction, with), 1e-5);
}

TEST(Vqgan3d, DecodesAQuantisedLatentToItsReconstruction) {
  Vqgan3d model(small());
  model->eval();
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({1, 1, 8, 8, 8});
  const auto out = model->forward(x);
  EXPECT_LT(relative_error(model->decode(out.z, true), out.reconstruction), 1e-5);
}

TEST(Vqgan3d, LearnsOneVolume) {
  torch::manual_seed(1);
  Vqgan3d model(small());
  torch::optim::Adam optimiser(model->parameters(), 3e-3);
  const auto x = torch::randn({1, 1, 8, 8, 8});
  double first = 0, last = 0;
  for (int step = 0; step < 30; ++step) {
    optimiser.zero_grad();
    const auto out = model->forward(x);
    const auto loss =
        (out.reconstruction - x).square().mean() + at::mse_loss(out.codes.z, out.codes.nearest);
    loss.backward();
    optimiser.step();
    (step == 0 ? first : last) = loss.item<double>();
  }
  EXPECT_LT(last, 0.9 * first);
}

TEST(Vqgan3d, WithBatchNormEvaluatesEachSampleByTheAveragesOfTraining) {
  torch::manual_seed(2);
  auto options = small();
  options.norm = Vqgan3dNorm::batch;
  Vqgan3d model(options);
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({2, 1, 8, 8, 8}) * 2 + 1;
  const auto name = "encoder.final_block.0.running_mean";
  const auto before = model->named_buffers()[name].clone();
  model->encode(x);
  EXPECT_FALSE(at::equal(model->named_buffers()[name], before))
      << "training did not track the mean";
  EXPECT_EQ(model->named_buffers()["encoder.final_block.0.num_batches_tracked"].item<int64_t>(), 1);

  const auto trained = model->encode(x);
  model->eval();
  const auto both = model->encode(x);
  EXPECT_LT(relative_error(model->encode(x.narrow(0, 1, 1)), both.narrow(0, 1, 1)), 1e-5);
  EXPECT_GT(relative_error(trained, both), 1e-3) << "training used the averages";
}

TEST(Vqgan3d, RefusesSizesThatDoNotDivideAndWrongChannels) {
  Vqgan3d model(small());
  expect_error([&] { model->encode(torch::zeros({1, 1, 8, 8, 10})); }, "multiple of 4, found 10");
  expect_error([&] { model->encode(torch::zeros({1, 2, 8, 8, 8})); }, "found (1, 2, 8, 8, 8)");
  expect_error([&] { Vqgan3d bad(small({3, 4, 4})); }, "powers of two");
}

}  // namespace
}  // namespace x2ctpa
