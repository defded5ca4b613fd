#include "x2ctpa/training/losses.h"

#include <gtest/gtest.h>
#include <torch/optim.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_folder.h"
#include "x2ctpa/core/autocast.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/diffusion/objective.h"
#include "x2ctpa/models/clipped_to.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/latent_codec.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

constexpr const char* latent_losses[] = {"l1",         "mse",         "huber",
                                         "perceptual", "adversarial", "classification"};

// A small denoiser and every network that its losses need, with a batch.
struct Denoising {
  Denoising() {
    torch::manual_seed(1);
    Vqgan3dOptions vqgan;
    vqgan.hidden_channels = 4;
    vqgan.embedding_dim = 3;
    vqgan.codes = 16;
    vqgan.downsample = {2, 4, 4};
    vqgan.groups = 2;
    save_module(folder.path(), *Vqgan3d(vqgan), options_to_yaml(vqgan));
    autoencoder = load_latent_codec(folder.path(), c10::kCPU);
    DenseNet3dOptions dense;
    dense.blocks = {1, 1};
    dense.growth = 4;
    dense.init_features = 8;
    dense.channels = 3;
    dense.drop_rate = 0;
    classifier = DenseNet3d(dense);
    classifier->eval();
    discriminator = LatentDiscriminator(LatentDiscriminatorOptions{3, 4, 1, 3});
    CtpaDenoiserOptions options;
    options.encoder = {
        .width = 4, .stages = 3, .feature_channels = 2, .embedding_dim = 8, .groups = 2};
    options.unet.dim = 8;
    options.unet.dim_mults = {1, 2};
    model = CtpaDenoiser(options, 3, std::array<int64_t, 3>{2, 4, 4},
                         BackProjectionGeometry{.spacing_xyz_mm = {80, 60, 100}});
    z = at::randn({2, 3, 2, 4, 4});
    eps = at::randn({2, 3, 2, 4, 4});
    cxr = at::rand({2, 1, 32, 32});
  }

  // The mean loss of this name, of the denoiser's prediction.
  at::Tensor loss(const std::string& name) {
    const auto t = at::tensor({100, 600}, at::kLong), x_t = q_sample(schedule, z, t, eps);
    const auto out = model->forward(x_t, t, model->condition(cxr));
    if (name == "l1" || name == "mse" || name == "huber") {
      return prediction_loss(*find_word<PredictionLoss>(name), out,
                             prediction_target(schedule, Prediction::v, z, t, eps))
          .mean();
    }
    return timed_loss(predicted_x0(schedule, Prediction::v, x_t, t, out),
                      [&](const at::Tensor& z_hat) {
                        if (name == "perceptual")
                          return perceptual_losses(lpips, *autoencoder, z_hat, z,
                                                   at::tensor({0.1, 0.6}))
                              .mean();
                        if (name == "adversarial")
                          return latent_adversarial_losses(discriminator, z_hat).mean();
                        return classification_losses(classifier, z_hat, at::tensor({1.f, 0.f}), 2.5)
                            .mean();
                      })
        .value;
  }

  test::TemporaryFolder folder;
  NoiseSchedule schedule{ScheduleOptions{}};
  std::unique_ptr<LatentCodec> autoencoder;
  Lpips lpips;
  DenseNet3d classifier{nullptr};
  LatentDiscriminator discriminator{nullptr};
  CtpaDenoiser model{nullptr};
  at::Tensor z, eps, cxr;
};

class DenoiserLoss : public testing::TestWithParam<const char*> {};

TEST_P(DenoiserLoss, HasAGradientForEveryPartOfTheDenoiserThatItReaches) {
  Denoising d;
  d.loss(GetParam()).backward();
  double norm = 0;
  for (const auto& item : d.model->named_parameters()) {
    if (item.key() == "unet.null_cond") continue;  // nothing was hidden
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    norm += item.value().grad().square().sum().item<double>();
  }
  EXPECT_GT(norm, 1e-12);
}

TEST_P(DenoiserLoss, FallsWhenTheDenoiserIsTrainedByItAlone) {
  Denoising d;
  torch::optim::Adam optimiser(d.model->parameters(), torch::optim::AdamOptions(3e-3));
  const double before = d.loss(GetParam()).item<double>();
  for (int step = 0; step < 40; ++step) {
    optimiser.zero_grad();
    d.loss(GetParam()).backward();
    optimiser.step();
  }
  EXPECT_LT(d.loss(GetParam()).item<double>(), 0.9 * before);
}

INSTANTIATE_TEST_SUITE_P(Losses, DenoiserLoss, testing::ValuesIn(latent_losses),
                         [](const auto& info) { return std::string(info.param); });

TEST(TimedLoss, HasTheValueAndTheGradientOfTheLossItself) {
  const auto w = at::tensor({2.0, -1.0}).requires_grad_();
  const auto loss = [](const at::Tensor& z) { return z.pow(3).sum(); };
  loss(w * w).backward();
  const auto expected = w.grad().clone();
  w.mutable_grad() = at::Tensor();
  const auto timed = timed_loss(w * w, loss);
  EXPECT_NEAR(timed.value.item<double>(), 65, 1e-4);
  EXPECT_GT(timed.seconds, 0);
  (0.5 * timed.value).backward();
  EXPECT_LT((w.grad() - 0.5 * expected).abs().max().item<double>(), 1e-4);
}

TEST(ClassificationLoss, IsTheWeightedCrossEntropyAndLeavesUnknownLabelsOut) {
  Denoising d;
  at::NoGradGuard no_grad;
  const auto z = at::randn({3, 3, 2, 4, 4});
  const auto losses = classification_losses(d.classifier, z, at::tensor({1.f, 0.f, -1.f}), 2.5);
  const auto logit = d.classifier->forward(z).squeeze(1);
  EXPECT_NEAR(losses[0].item<double>(), 2.5 * at::softplus(-logit[0]).item<double>(), 1e-5);
  EXPECT_NEAR(losses[1].item<double>(), at::softplus(logit[1]).item<double>(), 1e-5);
  EXPECT_EQ(losses[2].item<double>(), 0);
}

TEST(PerceptualLoss, IsZeroForTheTrueLatentAndComputesInSinglePrecisionUnderAutocast) {
  Denoising d;
  at::NoGradGuard no_grad;
  const auto place = at::tensor({0.2, 0.8});
  EXPECT_LT(perceptual_losses(d.lpips, *d.autoencoder, d.z, d.z, place).abs().max().item<double>(),
            1e-6);
  const auto other = d.z + 0.3;
  const auto single = perceptual_losses(d.lpips, *d.autoencoder, other, d.z, place);
  const Autocast half(c10::kCPU, c10::kBFloat16);
  EXPECT_TRUE(at::equal(perceptual_losses(d.lpips, *d.autoencoder, other, d.z, place), single));
}

TEST(LatentDiscriminatorLoss, TrainsTheDiscriminatorAndGivesNoGradientToTheMadeLatent) {
  Denoising d;
  const auto made = at::randn({2, 3, 2, 4, 4}).requires_grad_();
  torch::optim::Adam optimiser(d.discriminator->parameters(), torch::optim::AdamOptions(1e-2));
  const double before =
      latent_discriminator_losses(d.discriminator, made, d.z).mean().item<double>();
  for (int step = 0; step < 20; ++step) {
    optimiser.zero_grad();
    latent_discriminator_losses(d.discriminator, made, d.z).mean().backward();
    optimiser.step();
  }
  EXPECT_LT(latent_discriminator_losses(d.discriminator, made, d.z).mean().item<double>(),
            0.7 * before);
  EXPECT_FALSE(made.grad().defined());
}

// Small discriminators and a volume with its reconstruction, a leaf.
struct Reconstruction {
  Reconstruction() {
    torch::manual_seed(2);
    discriminators = DiscriminatorPair(DiscriminatorPairOptions{1, 4, 1});
    x = at::rand({2, 1, 8, 16, 16}) * 2 - 1;
    x_hat = (x + 0.5 * at::randn(x.sizes())).clamp(-1, 1).requires_grad_();
  }
  DiscriminatorPair discriminators{nullptr};
  Lpips lpips;
  at::Tensor x, x_hat, place = at::tensor({0.1, 0.7});
};

class VqganLoss : public testing::TestWithParam<const char*> {};

TEST_P(VqganLoss, FallsWhenTheReconstructionFollowsItsGradient) {
  Reconstruction r;
  const std::string name = GetParam();
  const auto loss = [&] {
    if (name == "l1") return (r.x_hat - r.x).abs().mean();
    if (name == "perceptual") return slice_distance(r.lpips, r.x, r.x_hat, r.place);
    const auto gan = adversarial_losses(r.discriminators, GanLoss::hinge, r.x, r.x_hat, r.place);
    return name == "gan_slices" ? gan.slices : name == "gan_volumes" ? gan.volumes : gan.features;
  };
  torch::optim::Adam optimiser(std::vector<at::Tensor>{r.x_hat}, torch::optim::AdamOptions(1e-2));
  const double before = loss().item<double>();
  for (int step = 0; step < 10; ++step) {
    optimiser.zero_grad();
    loss().backward();
    optimiser.step();
  }
  EXPECT_LT(loss().item<double>(), before - 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Losses, VqganLoss,
                         testing::Values("l1", "perceptual", "gan_slices", "gan_volumes",
                                         "features"),
                         [](const auto& info) { return std::string(info.param); });

TEST(DiscriminatorLosses, TrainBothDiscriminatorsAndGiveNoGradientToTheReconstruction) {
  Reconstruction r;
  const auto terms = discriminator_losses(r.discriminators, GanLoss::hinge, r.x, r.x_hat, r.place);
  weighted_sum(terms).backward();
  EXPECT_FALSE(r.x_hat.grad().defined());
  for (const auto& item : r.discriminators->named_parameters())
    EXPECT_TRUE(item.value().grad().defined()) << item.key();
}

TEST(ReconstructionLoss, SquaredIsTheMeanSquaredDistance) {
  EXPECT_EQ(squared_loss(at::tensor({1.0, -1.0}), at::tensor({0.5, 1.0})).item<double>(), 2.125);
}

TEST(ReconstructionLoss, APartOfTheWindowIsClippedAndBecomesTheWhole) {
  const auto found = clipped_to(at::tensor({-1.0f, -0.5f, 0.0f, 0.25f, 1.0f}), -0.5, 0.5);
  EXPECT_TRUE(at::allclose(found, at::tensor({-1.0f, -1.0f, 0.0f, 0.5f, 1.0f})));
}

TEST(KlLoss, IsThatOfTwoGaussians) {
  const LatentPosterior posterior{at::tensor({0.0, 2.0}), at::tensor({0.0, std::log(4.0)})};
  // 0 and (4 + 4 - 1 - log 4) / 2.
  EXPECT_NEAR(kl_loss(posterior).item<double>(), (7 - std::log(4.0)) / 4, 1e-6);
}

TEST(ReconstructionLoss, IsTheMeanDistance) {
  EXPECT_EQ(reconstruction_loss(at::tensor({1.0, -1.0}), at::tensor({0.5, 1.0})).item<double>(),
            1.25);
}

TEST(CommitmentLoss, DrawsLatentsToTheirCodes) {
  const auto z = at::tensor({1.f, 3.f}).requires_grad_(), codes = at::tensor({0.f, 1.f});
  Quantised quantised;
  quantised.z = z;
  quantised.nearest = codes;
  const auto loss = commitment_loss(quantised, 0.5);
  EXPECT_EQ(loss.item<double>(), 0.5 * (1 + 4) / 2);
  loss.backward();
  EXPECT_TRUE(at::equal(z.grad(), at::tensor({0.5f, 1.f})));
}

TEST(CrossEntropy, WeighsPositiveCases) {
  const auto logits = at::tensor({0.f, 2.f});
  const double of_positive = std::log(2.0), of_negative = std::log(1 + std::exp(2.0));
  EXPECT_NEAR(cross_entropy(logits, at::tensor({1.f, 0.f}), at::tensor({3.f})).item<double>(),
              (3 * of_positive + of_negative) / 2, 1e-6);
}

TEST(DiscriminatorLoss, FollowsItsFormula) {
  const auto real = at::tensor({2.0, 0.5}), fake = at::tensor({-3.0, 0.25});
  const auto loss = [&](GanLoss kind) {
    return discriminator_loss(kind, real, fake).item<double>();
  };
  EXPECT_NEAR(loss(GanLoss::hinge), 0.5 * ((0 + 0.5) / 2 + (0 + 1.25) / 2), 1e-6);
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  EXPECT_NEAR(loss(GanLoss::vanilla),
              0.25 * (softplus(-2) + softplus(-0.5) + softplus(-3) + softplus(0.25)), 1e-6);
  EXPECT_NEAR(loss(GanLoss::least_squares), 0.25 * (1 + 0.25 + 9 + 0.0625), 1e-6);
  EXPECT_NEAR(generator_loss(GanLoss::hinge, fake).item<double>(), 1.375, 1e-6);
  EXPECT_NEAR(generator_loss(GanLoss::least_squares, fake).item<double>(), (16 + 0.5625) / 2, 1e-6);
}

TEST(FeatureMatchingLoss, ComparesAllStagesButTheLastAndSparesTheRealImage) {
  auto a = at::ones({2}).requires_grad_(), b = at::zeros({2}).requires_grad_();
  const PatchLogits fake{a, {a, 3 * a, 100 * a}}, real{b, {b, b, b}};
  const auto loss = feature_matching_loss(fake, real);
  EXPECT_NEAR(loss.item<double>(), 4.0 / 2 * (1 + 3), 1e-6);
  loss.backward();
  EXPECT_TRUE(a.grad().defined());
  EXPECT_FALSE(b.grad().defined());
}

TEST(PredictionLoss, IsTheMeanOverEachSampleOnItsOwn) {
  const auto target = at::zeros({2, 1, 1, 1, 2});
  const auto prediction = at::tensor({0.5, -0.5, 3.0, 1.0}).view({2, 1, 1, 1, 2}).to(at::kFloat);
  const auto values = [&](PredictionLoss loss, double delta = 1) {
    return prediction_loss(loss, prediction, target, delta);
  };
  EXPECT_TRUE(at::allclose(values(PredictionLoss::l1), at::tensor({0.5f, 2.0f})));
  EXPECT_TRUE(at::allclose(values(PredictionLoss::mse), at::tensor({0.25f, 5.0f})));
  // d^2 / 2 within delta, delta (|d| - delta / 2) beyond.
  EXPECT_TRUE(at::allclose(values(PredictionLoss::huber), at::tensor({0.125f, (2.5f + 0.5f) / 2})));
  EXPECT_TRUE(at::allclose(values(PredictionLoss::huber, 0.5),
                           at::tensor({0.125f, (0.5f * 2.75f + 0.5f * 0.75f) / 2})));
}

constexpr Prediction kinds[] = {Prediction::noise, Prediction::x0, Prediction::v, Prediction::flow};

TEST(MinSnr, WeighsEveryPredictionAsTheSquaredErrorOfTheCleanLatentItStandsFor) {
  // An error e of the prediction moves x_0 by (d x_0 / d prediction) e, so with one error of x_0
  // weight times squared error must be min(SNR, gamma) (d x_0)^2 whatever is predicted.
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto t = at::tensor({0, 100, 500, 900}, at::kLong);
  const auto x_t = at::zeros({4, 1, 1, 1, 1}), zero = at::zeros({4, 1, 1, 1, 1});
  const double gamma = 5;
  const auto expected = [&](int64_t step) {
    const auto [signal, noise] = schedule.at(step);
    return std::min(signal * signal / (noise * noise), gamma);
  };
  for (const auto kind : kinds) {
    const auto per_unit = (predicted_x0(schedule, kind, x_t, t, zero + 1) -
                           predicted_x0(schedule, kind, x_t, t, zero))
                              .flatten();
    const auto weights = min_snr_weights(schedule, kind, t, gamma);
    for (int64_t i = 0; i < 4; ++i) {
      const double change = per_unit[i].item<double>(),
                   wanted = expected(t[i].item<int64_t>()) * change * change;
      EXPECT_NEAR(weights[i].item<double>(), wanted, 1e-4 * wanted + 1e-6) << int(kind) << " " << i;
    }
  }
}

TEST(MinSnr, HasThePublishedFormOfEachPrediction) {
  const NoiseSchedule schedule(ScheduleOptions{});
  const auto t = at::tensor({20, 500, 999}, at::kLong);
  for (int64_t i = 0; i < 3; ++i) {
    const auto [signal, noise] = schedule.at(t[i].item<int64_t>());
    const double snr = signal * signal / (noise * noise), least = std::min(snr, 5.0);
    const auto weight = [&](Prediction kind) {
      return min_snr_weights(schedule, kind, t, 5)[i].item<double>();
    };
    EXPECT_NEAR(weight(Prediction::x0), least, 1e-4 * least);
    EXPECT_NEAR(weight(Prediction::noise), least / snr, 1e-4);
    EXPECT_NEAR(weight(Prediction::v), least / (snr + 1), 1e-5);
  }
}

TEST(MinSnr, IsFiniteWhereTheScheduleEndsInPureNoise) {
  const NoiseSchedule schedule(ScheduleOptions{.zero_terminal_snr = true});
  for (const auto kind : kinds) {
    EXPECT_TRUE(std::isfinite(
        min_snr_weights(schedule, kind, at::tensor({999}, at::kLong), 5).item<double>()))
        << int(kind);
  }
}

}  // namespace
}  // namespace x2ctpa
