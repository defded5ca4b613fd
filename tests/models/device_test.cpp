// Forward, backward and an optimiser step of every model on a device that is not the CPU.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/nn/init.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/sgd.h>

#include <array>
#include <functional>
#include <string>

#include "models/helpers.h"
#include "support/test_device.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/back_projection.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/ctpa_denoiser.h"
#include "x2ctpa/models/cxr_encoder.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/discriminators.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/models/volume_refiner.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

using test::relative_error;
using test::test_device;

// One training step of `model` on the CPU and, from the same weights, on the test device; both
// must lead to the same parameters. `loss` computes the loss from tensors on a given device.
template <class Model, class Options>
void expect_same_step(const Options& options,
                      const std::function<at::Tensor(Model&, at::Device)>& loss) {
  Model on_cpu(options), on_device(options);
  load_tensors(*on_device, named_tensors(*on_cpu), "copy");
  on_device->to(test_device());
  const auto step = [&](Model& model, at::Device device) {
    torch::optim::SGD optimiser(model->parameters(), 0.1);
    const auto value = loss(model, device);
    EXPECT_EQ(value.device().type(), device.type());
    value.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 1.0);
    optimiser.step();
  };
  step(on_cpu, at::kCPU);
  step(on_device, test_device());
  const auto found = named_tensors(*on_device);
  for (const auto& [name, tensor] : named_tensors(*on_cpu)) {
    EXPECT_EQ(found.at(name).device().type(), test_device().type()) << name;
    const auto difference = (found.at(name).detach().to(at::kCPU) - tensor.detach()).abs().max();
    EXPECT_LT(difference.template item<double>(), 1e-4) << name;
  }
}

TEST(Device, RefusesToMixTensorsOfTwoDevices) {
  const auto there = torch::ones({2, 3}, test_device());
  EXPECT_THROW(there + torch::ones({2, 3}), c10::Error);
  EXPECT_THROW(at::conv2d(torch::ones({1, 1, 4, 4}, test_device()), torch::ones({1, 1, 3, 3})),
               c10::Error);
  EXPECT_NO_THROW(there * torch::tensor(2.0));
  EXPECT_EQ((there + 1).sum().item<double>(), 12);
}

TEST(Device, TrainsTheDenoiser) {
  Unet3dOptions o;
  o.in_channels = 3;
  o.out_channels = 2;
  o.dim = 8;
  o.dim_mults = {1, 2};
  o.cond_dim = 4;
  o.attention_heads = 2;
  const auto x = torch::randn({2, 3, 3, 4, 4}), cond = torch::randn({2, 4});
  expect_same_step<Unet3d>(o, [&](Unet3d& model, at::Device d) {
    return model
        ->forward(x.to(d), torch::tensor({3, 700}).to(d), cond.to(d),
                  torch::tensor({true, false}).to(d))
        .square()
        .mean();
  });
}

TEST(Device, PredictsWithAndWithoutTheConditionInOneBatch) {
  Unet3dOptions o;
  o.dim = 8;
  o.dim_mults = {1, 2};
  o.cond_dim = 4;
  o.attention_heads = 2;
  Unet3d model(o);
  const auto x = torch::randn({2, 4, 3, 4, 4}), t = torch::full({2}, 5),
             cond = torch::randn({2, 4}), drop = torch::tensor({false, true});
  torch::NoGradGuard no_grad;
  const auto expected = model->forward(x, t, cond, drop);
  model->to(test_device());
  const auto found = model->forward(x.to(test_device()), t.to(test_device()),
                                    cond.to(test_device()), drop.to(test_device()));
  EXPECT_LT(relative_error(found, expected), 1e-4);
  EXPECT_THROW(model->forward(x, t, cond), c10::Error);
}

TEST(Device, TrainsTheAutoencoder) {
  Vqgan3dOptions o;
  o.hidden_channels = 2;
  o.embedding_dim = 3;
  o.codes = 4;
  o.downsample = {1, 2, 2};
  const auto x = torch::randn({1, 1, 4, 4, 4});
  expect_same_step<Vqgan3d>(o, [&](Vqgan3d& model, at::Device d) {
    const auto out = model->forward(x.to(d), at::make_generator<at::CPUGeneratorImpl>(uint64_t{7}));
    return (out.reconstruction - x.to(d)).square().mean() +
           at::mse_loss(out.codes.z, out.codes.nearest);
  });
}

TEST(Device, TrainsTheConvolutionalAutoencoder) {
  ConvAutoencoder3dOptions o;
  o.widths = {3, 4};
  o.blocks = o.decoder_blocks = {1, 1};
  o.latent_channels = 2;
  o.kl_weight = 0.1;
  o.downsample = {2, 4, 4};
  const auto x = torch::randn({1, 1, 4, 8, 8});
  expect_same_step<ConvAutoencoder3d>(o, [&](ConvAutoencoder3d& model, at::Device d) {
    const auto out = model->forward(x.to(d), at::make_generator<at::CPUGeneratorImpl>(uint64_t{7}));
    const auto slices = model->decode_slices(out.posterior.mean, torch::tensor({0.4}));
    return (out.reconstruction - x.to(d)).square().mean() + slices.square().mean();
  });
}

TEST(Device, EncodesAndDecodesInSlabs) {
  ConvAutoencoder3dOptions o;
  o.latent_channels = 2;
  ConvAutoencoder3d model(o);
  model->eval();
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({1, 1, 8, 8, 8});
  const auto latent = model->encode(x), volume = model->decode(latent);
  model->to(test_device());
  MemoryPlan plan;
  plan.slab_bytes = 1;
  const auto there = model->encode(x.to(test_device()), plan);
  EXPECT_LT(relative_error(there, latent), 1e-4);
  EXPECT_LT(relative_error(model->decode(there, plan), volume), 1e-4);
  plan.type = at::kBFloat16;
  EXPECT_LT(relative_error(model->decode(there, plan), volume), 0.1);
}

TEST(Device, EncodesAndDecodesInBf16) {
  Vqgan3dOptions o;
  o.hidden_channels = 2;
  o.embedding_dim = 3;
  o.codes = 4;
  o.downsample = {1, 2, 2};
  Vqgan3d model(o);
  model->eval();
  torch::NoGradGuard no_grad;
  const auto x = torch::randn({1, 1, 4, 4, 4}), z = torch::randn({1, 3, 4, 2, 2});
  const auto code = model->encode(x), volume = model->decode(z);
  model->to(test_device(), torch::kBFloat16);
  const auto there = [](const at::Tensor& t) { return t.to(test_device(), torch::kBFloat16); };
  EXPECT_LT(relative_error(model->encode(there(x)), code), 0.1);
  EXPECT_LT(relative_error(model->decode(there(z)), volume), 0.1);
}

TEST(Device, TrainsTheXRayEncoderThroughTheBackProjection) {
  CxrEncoderOptions o;
  o.width = 4;
  o.stages = 2;
  const auto x = torch::rand({1, 1, 16, 16});
  const BackProjection project(BackProjectionGeometry{}, {2, 3, 4});
  expect_same_step<CxrEncoder>(o, [&](CxrEncoder& model, at::Device d) {
    const auto out = model->forward(x.to(d));
    return out.embedding.square().mean() + project(out.map).square().mean();
  });
}

TEST(Device, RefinesAVolumeByItsXRay) {
  torch::manual_seed(8);
  VolumeRefinerOptions o;
  o.width = o.inner_width = 8;
  o.blocks = 1;
  BackProjectionGeometry geometry;
  geometry.spacing_xyz_mm = {30, 30, 30};
  VolumeRefiner refiner(o, std::array<int64_t, 3>{4, 4, 4}, geometry);
  for (auto& p : refiner->parameters()) torch::nn::init::normal_(p, 0, 0.1);
  const auto x = torch::randn({1, 1, 4, 4, 4}), cxr = torch::rand({1, 1, 16, 16});
  const auto on_cpu = refiner->forward(x, cxr);
  refiner->to(test_device());
  const auto there = refiner->forward(x.to(test_device()), cxr.to(test_device()));
  EXPECT_LT(relative_error(there.to(at::kCPU), on_cpu), 1e-5);
  there.square().sum().backward();
}

TEST(Device, TrainsTheEncodersOfTwoViewsWithOneMissing) {
  CtpaDenoiserOptions o;
  o.views = CxrViews::both;
  o.encoder = {.width = 4, .stages = 2, .feature_channels = 2, .embedding_dim = 6, .groups = 2};
  o.encoder.feature_stage = 1;
  o.unet.dim = 8;
  o.unet.dim_mults = {1, 2};
  torch::manual_seed(9);
  CtpaDenoiser model(o, 3, std::array<int64_t, 3>{2, 4, 4},
                     ViewBeams(CxrViews::both, {}, 1550, {60, 60, 60}));
  const auto all = torch::rand({2, 2, 16, 16}), x = torch::randn({2, 3, 2, 4, 4});
  const auto cxr =
      at::cat({all.narrow(0, 0, 1), only_views(all.narrow(0, 1, 1), ViewSet::lateral)});
  const auto t = torch::tensor({10, 700});
  const auto on_cpu = model->forward(x, t, model->condition(cxr));
  model->to(test_device());
  const auto d = test_device();
  const auto there = model->forward(x.to(d), t.to(d), model->condition(cxr.to(d)));
  EXPECT_LT(relative_error(there.to(at::kCPU), on_cpu), 1e-4);
  there.square().sum().backward();
}

TEST(Device, TrainsTheClassifier) {
  DenseNet3dOptions o;
  o.blocks = {1, 1};
  o.growth = 4;
  o.init_features = 4;
  o.drop_rate = 0;
  const auto x = torch::randn({2, 1, 8, 16, 16});
  expect_same_step<DenseNet3d>(
      o, [&](DenseNet3d& model, at::Device d) { return model->forward(x.to(d)).square().mean(); });
}

TEST(Device, TrainsTheSliceAutoencoderOnAVolume) {
  AutoencoderKlOptions o;
  o.block_out_channels = {4, 4};
  o.layers_per_block = 1;
  o.norm_num_groups = 2;
  const auto x = torch::randn({1, 1, 2, 8, 8});
  expect_same_step<AutoencoderKl>(o, [&](AutoencoderKl& model, at::Device d) {
    const auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{7});
    const auto z = model->encode_volume(x.to(d), true, generator);
    const auto logvar = model->encode(x.select(2, 0).expand({-1, 3, -1, -1}).to(d)).logvar;
    return (model->decode_volume(z) - x.to(d)).square().mean() + logvar.square().mean();
  });
}

TEST(Device, TrainsTheVisionTransformers) {
  for (const auto layout : {VisionLayout::timm, VisionLayout::clip, VisionLayout::dinov2}) {
    VisionTransformerOptions o;
    o.layout = layout;
    o.image_size = o.width = o.mlp_width = 8;
    o.patch_size = 4;
    o.depth = o.heads = 2;
    o.output_dim = layout == VisionLayout::timm ? 6 : 0;
    const auto x = torch::rand({2, 1, 10, 10});
    expect_same_step<VisionTransformer>(o, [&](VisionTransformer& model, at::Device d) {
      return (model->embed(x.to(d)) - 1).square().mean();
    });
  }
}

TEST(Device, TrainsTheDiscriminators) {
  const auto x = torch::randn({2, 1, 8, 16, 16});
  expect_same_step<DiscriminatorPair>(
      DiscriminatorPairOptions{.hidden_channels = 2}, [&](DiscriminatorPair& model, at::Device d) {
        const auto solid = model->volumes(x.to(d)), other = model->volumes(0.5 * x.to(d));
        const auto planar = model->slices(x.select(2, 3).to(d));
        return at::relu(1 - solid.logits).mean() + at::relu(1 + other.logits).mean() -
               planar.logits.mean();
      });
}

TEST(Device, TrainsTheDiscriminatorOfLatents) {
  const auto x = torch::randn({2, 4, 16, 16, 16});
  expect_same_step<LatentDiscriminator>(
      LatentDiscriminatorOptions{.hidden_channels = 2},
      [&](LatentDiscriminator& model, at::Device d) {
        const auto fake = model->forward(x.to(d)).logits;
        return (model->forward(0.5 * x.to(d)).logits - 1).square().mean() + fake.square().mean();
      });
}

TEST(Device, ComparesPicturesByTheirFeatures) {
  Lpips on_cpu, on_device;
  load_tensors(*on_device, named_tensors(*on_cpu), "copy");
  on_device->to(test_device());
  const auto x = torch::rand({1, 1, 16, 16}), y = torch::rand({1, 1, 16, 16});
  auto there = x.to(test_device()).requires_grad_(), here = x.clone().requires_grad_();
  on_device->forward(there, y.to(test_device())).sum().backward();
  on_cpu->forward(here, y).sum().backward();
  EXPECT_LT(relative_error(there.grad(), here.grad()), 1e-4);
}

}  // namespace
}  // namespace x2ctpa
