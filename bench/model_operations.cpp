#include <ATen/ATen.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "operation.h"
#include "x2ctpa/core/captured.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/optimiser.h"

namespace x2ctpa::bench {
namespace {

template <class Model>
Model load(const Setup& setup) {
  auto model = load_model<Model>(setup.model());
  model->to(setup.device);
  model->eval();
  return model;
}

// An operation of one output, without gradients.
Operation of_one(const std::string& name, const std::function<at::Tensor()>& run) {
  auto result = std::make_shared<at::Tensor>();
  return {[=] {
            torch::NoGradGuard no_grad;
            *result = run();
          },
          [=] {
            return TensorMap{{name, result->to(at::kFloat).contiguous()}};
          }};
}

// A forward of the denoiser from (x, t, cond), as a CUDA graph where the row says so.
std::shared_ptr<Captured> step_of(Unet3d model, const Setup& setup) {
  return std::make_shared<Captured>(
      [model](const auto& in) mutable -> std::vector<at::Tensor> {
        return {model->forward(in[0], in[1], in[2])};
      },
      setup.options.value("cuda_graph", false));
}

// A training step: its outputs are the losses and gradient norms so far.
Operation training_step(const std::function<at::Tensor()>& loss_of,
                        const std::function<double()>& norm_of,
                        const std::function<void(double norm)>& update) {
  auto losses = std::make_shared<std::vector<double>>();
  auto norms = std::make_shared<std::vector<double>>();
  return {[=] {
            const auto loss = loss_of();
            loss.backward();
            norms->push_back(norm_of());
            update(norms->back());
            losses->push_back(loss.item<double>());
          },
          [=] {
            return TensorMap{{"loss", at::tensor(*losses, at::kDouble)},
                             {"gradient_norm", at::tensor(*norms, at::kDouble)}};
          }};
}

}  // namespace

Operation unet_forward(const Setup& setup) {
  auto model = load<Unet3d>(setup);
  RuntimeOptions runtime;
  runtime.device = setup.device.str();
  runtime.precision = setup.options.value("bf16", false) ? Precision::bf16 : Precision::fp32;
  const auto type = compute_type(runtime);  // a CPU without bf16 takes fp32, as `sample` does
  model->to(type);
  const auto x = setup.input("x").to(type), t = setup.input("t"), cond = setup.input("cond");
  const auto forward = step_of(model, setup);
  return of_one("eps", [=] { return (*forward)({x, t, cond})[0]; });
}

// One step of the denoiser: forward, L1 loss, backward, clipping, Adam, moving average.
Operation unet_train(const Setup& setup) {
  auto model = load<Unet3d>(setup);
  model->train();
  auto optimiser = std::make_shared<Adam>(model->parameters(), AdamOptions{});
  auto average = std::make_shared<WeightAverage>(*model, 0.995);
  const auto x = setup.input("x"), t = setup.input("t"), cond = setup.input("cond"),
             noise = setup.input("noise");
  return training_step([=]() mutable { return (model->forward(x, t, cond) - noise).abs().mean(); },
                       [=] { return optimiser->gradient_norm(); },
                       [=](double norm) {
                         optimiser->step(1e-4, std::max(1.0, norm));
                         average->update();
                       });
}

// A latent from noise with the default sampler. Its output is the first prediction.
Operation denoise(const Setup& setup) {
  auto model = load<Unet3d>(setup);
  const auto x = setup.input("x"), cond = setup.input("cond");
  const auto step = step_of(model, setup);
  return of_one("eps", [=]() mutable {
    at::Tensor first;
    const auto network = [&](const at::Tensor& x_t, const at::Tensor& t) {
      const auto eps = (*step)({x_t, t, cond})[0];
      if (!first.defined()) first = eps.clone();
      return eps;
    };
    SamplerOptions options;
    options.clamp = 1;
    sample(NoiseSchedule({}), Prediction::noise, options, network, x,
           [](int64_t) { return at::Tensor(); });
    return first;
  });
}

Operation vqgan_reconstruct(const Setup& setup) {
  auto model = load<Vqgan3d>(setup);
  const auto x = setup.input("x");
  return of_one("reconstruction", [=]() mutable { return model->forward(x).reconstruction; });
}

// One step of the autoencoder without discriminators.
Operation vqgan_train(const Setup& setup) {
  auto model = load<Vqgan3d>(setup);
  model->train();
  auto optimiser = std::make_shared<Adam>(model->parameters(), AdamOptions{.betas = {0.5, 0.9}});
  const auto x = setup.input("x");
  return training_step(
      [=]() mutable {
        const auto out = model->forward(x);
        return 4 * reconstruction_loss(out.reconstruction, x) +
               commitment_loss(out.codes, model->options().commitment_weight);
      },
      [=] { return optimiser->gradient_norm(); },
      [=](double norm) { optimiser->step(3e-4, std::max(1.0, norm)); });
}

Operation vae_decode(const Setup& setup) {
  auto model = load<AutoencoderKl>(setup);
  const auto latent = setup.input("latent");
  const auto plan = model->plan_decode_volume(latent.sizes(), {});  // as `sample` does
  return of_one("volume", [=]() mutable { return model->decode_volume(latent, plan.at_once); });
}

Operation vit(const Setup& setup) {
  auto model = load<VisionTransformer>(setup);
  const auto x = setup.input("x");
  return of_one("features", [=]() mutable { return model->forward(x).pooled; });
}

// From the model folder to the first parameter that can be used.
Operation vit_load(const Setup& setup) {
  return of_one("positions", [=] {
    auto model = load<VisionTransformer>(setup);
    return named_tensors(*model).at("trunk.pos_embed").detach().clone();
  });
}

Operation densenet(const Setup& setup) {
  auto model = load<DenseNet3d>(setup);
  const auto x = setup.input("x");
  return of_one("logit", [=]() mutable { return model->forward(x); });
}

}  // namespace x2ctpa::bench
