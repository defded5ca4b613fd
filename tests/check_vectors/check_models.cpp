#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/nn/module.h>
#include <torch/utils.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "case.h"
#include "x2ctpa/diffusion/guidance.h"
#include "x2ctpa/diffusion/sampler.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/discriminators.h"
#include "x2ctpa/models/lpips.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vision_transformer.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/losses.h"

namespace x2ctpa::check {
namespace {

template <class Model>
Model load(const std::filesystem::path& folder, c10::Device device) {
  auto model = load_model<Model>(folder);
  model->to(device);
  model->eval();
  return model;
}

// One ancestral step of each sample, from its own timestep, with x_0 clamped to [-1, 1].
at::Tensor ancestral_step(const NoiseSchedule& schedule, const at::Tensor& x, const at::Tensor& t,
                          const at::Tensor& eps, const at::Tensor& noise) {
  SamplerOptions options;
  options.clamp = 1;
  std::vector<at::Tensor> steps;
  for (int64_t i = 0; i < x.size(0); ++i) {
    const int64_t time = t[i].item<int64_t>();
    const Mixture now = schedule.at(time), next = schedule.at(time - 1);
    const auto d = denoised(options, Prediction::noise, now, x[i], eps[i]);
    steps.push_back(ddim_step(now, next, d, 1.0, [&] { return noise[i]; }));
  }
  return at::stack(steps);
}

double gradient_norm(const torch::nn::Module& module) {
  double squares = 0;
  for (const auto& p : module.parameters()) {
    if (p.grad().defined()) squares += p.grad().to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(squares);
}

// The number at the end of `name` after `start`, or -1.
int64_t number_after(const std::string& name, const std::string& start) {
  const bool fits = name.rfind(start, 0) == 0 && name.size() > start.size() &&
                    name.find_first_not_of("0123456789", start.size()) == std::string::npos;
  return fits ? std::stoll(name.substr(start.size())) : -1;
}

// What two discriminators say of volumes x, under the names of the stored outputs.
TensorMap discriminate(Case& c, DiscriminatorPair& pair, const at::Tensor& x) {
  TensorMap outputs;
  const auto solid = pair->volumes(x);
  outputs["disc3d"] = solid.logits;
  for (const auto& [name, tensor] : c.tensors()) {
    const int64_t slice = number_after(name, "disc2d_slice");
    if (slice >= 0) outputs[name] = pair->slices(x.select(2, slice)).logits;
    const int64_t stage = number_after(name, "disc3d_feat");
    if (stage >= 0) outputs[name] = solid.features.at(size_t(stage));
  }
  return outputs;
}

// Encoder and decoder by themselves, with gradients, and the codes that are nearest.
void check_vqgan_networks(Case& c, Vqgan3d& model) {
  c.check_run(*model, {"x", "latent"}, [&](const TensorMap& in) -> TensorMap {
    const auto& latent = in.at("latent");
    // The codes depend on the latent, but not differentiably.
    return {{"z", model->encode(in.at("x"))},
            {"decoded", model->decode(latent)},
            {"codes", model->codebook()->nearest_codes(latent) + 0 * latent}};
  });
}

// q_sample, the L1 loss with its total gradient, and one ancestral step.
void check_diffusion(Case& c, Unet3d& model) {
  ScheduleOptions options;
  options.timesteps = c.hyperparameters().value("timesteps", int64_t{1000});
  const NoiseSchedule schedule(options);
  const auto &x = c.input("x"), &t = c.input("t"), &cond = c.input("cond"),
             &noise = c.input("noise");
  const auto x_t = q_sample(schedule, x.clamp(-1, 1), t, noise);
  c.compare("q_sample", x_t);
  const auto loss = prediction_loss(PredictionLoss::l1, model->forward(x_t, t, cond), noise).mean();
  c.compare("loss_l1", loss.view(1));
  loss.backward();
  c.compare("grad_norm", at::full({1}, gradient_norm(*model), at::kDouble));
  torch::NoGradGuard no_grad;
  const auto eps = model->forward(x, t, cond);
  c.compare("ancestral_prev", ancestral_step(schedule, x, t, eps, noise));
}

}  // namespace

void check_unet3d(Case& c) {
  auto model = load<Unet3d>(c.folder(), c.device());
  const bool conditional = model->options().cond_dim > 0;
  std::vector<std::string> inputs{"x", "t"};
  if (conditional) inputs.push_back("cond");
  c.check_run(*model, inputs, [&](const TensorMap& in) -> TensorMap {
    const auto &x = in.at("x"), &t = in.at("t");
    if (!conditional) return {{"eps", model->forward(x, t)}};
    const auto& given = in.at("cond");
    const auto cond = given.dim() == 3 ? model->condition(given) : given;
    const auto own = model->forward(x, t, cond);
    const auto null =
        model->forward(x, t, cond, at::ones({x.size(0)}, t.options().dtype(at::kBool)));
    return {{"eps", own},
            {"eps_null", null},
            {"eps_scale3", guided(SamplerOptions{.guidance_scale = 3}, own, null)}};
  });
  if (c.has("noise")) check_diffusion(c, model);
}

void check_vqgan(Case& c) {
  auto model = load<Vqgan3d>(c.folder(), c.device());
  if (!c.has("recon")) return check_vqgan_networks(c, model);
  torch::NoGradGuard no_grad;
  const auto& x = c.input("x");
  const auto out = model->forward(x);
  c.compare("z", out.z);
  c.compare("indices", out.codes.indices);
  c.compare("quantized", out.codes.quantised);
  c.compare("commitment", commitment_loss(out.codes, model->options().commitment_weight).view(1));
  c.compare("perplexity", out.codes.perplexity.view(1));
  c.compare("recon", out.reconstruction);
  const auto [low, high] = model->codebook()->range();
  c.compare("normalized_z", (out.z - low) / (high - low) * 2 - 1);
  c.compare("decoded_from_latent", model->decode(c.input("latent"), true));
  auto pair = load<DiscriminatorPair>(c.folder() / "discriminators", c.device());
  for (const auto& [name, output] : discriminate(c, pair, x)) c.compare(name, output);
  model->train();  // one update of the codebook
  model->forward(x);
  const auto tensors = named_tensors(*model);
  c.compare("codebook_after_update", tensors.at("codebook.embeddings"));
  c.compare("N_after_update", tensors.at("codebook.N"));
}

void check_autoencoder_kl(Case& c) {
  auto model = load<AutoencoderKl>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) -> TensorMap {
    const auto posterior = model->encode(in.at("x"));
    return {{"mean", posterior.mean},
            {"logvar", posterior.logvar},
            {"decoded", model->decode(posterior.mean)}};
  });
}

void check_autoencoder_maisi(Case& c) {
  auto model = load<AutoencoderMaisi>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) -> TensorMap {
    const auto posterior = model->encode(in.at("x"));
    return {{"mean", posterior.mean},
            {"logvar", posterior.logvar},
            {"decoded", model->decode(posterior.mean)}};
  });
  // In slabs of one slice, in each of the ways.
  MemoryPlan plan;
  plan.slab_bytes = 1;
  for (plan.kept = 2; plan.kept >= 0; --plan.kept) {
    const auto mean = model->encode(c.input("x"), plan);
    c.compare("mean", mean);
    c.compare("decoded", model->decode(mean, plan));
  }
}

void check_biomedclip_vit(Case& c) {
  auto model = load<VisionTransformer>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) -> TensorMap {
    const auto features = model->forward(in.at("x")).pooled;
    return {{"features", features}, {"normalized", unit_length(features)}};
  });
}

void check_clip_vision(Case& c) {
  auto model = load<VisionTransformer>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) -> TensorMap {
    const auto out = model->forward(in.at("x"));
    return {{"last_hidden_state", out.tokens}, {"pooler_output", out.pooled}};
  });
}

void check_densenet3d(Case& c) {
  auto model = load<DenseNet3d>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) -> TensorMap {
    return {{"logit", model->forward(in.at("x"))}};
  });
}

void check_lpips(Case& c) {
  auto model = load_model(c.folder(), [] { return Lpips(); });
  model->to(c.device());
  for (auto& parameter : model->parameters()) parameter.set_requires_grad(true);
  c.check_run(*model, {"x", "y"}, [&](const TensorMap& in) -> TensorMap {
    return {{"distance", model->forward(in.at("x"), in.at("y"))}};
  });
}

void check_discriminators(Case& c) {
  auto pair = load<DiscriminatorPair>(c.folder(), c.device());
  c.check_run(*pair, {"x"}, [&](const TensorMap& in) { return discriminate(c, pair, in.at("x")); });
}

void check_latent_discriminator(Case& c) {
  auto model = load<LatentDiscriminator>(c.folder(), c.device());
  c.check_run(*model, {"x"}, [&](const TensorMap& in) {
    const auto said = model->forward(in.at("x"));
    TensorMap outputs{{"logits", said.logits}};
    for (size_t i = 0; i + 1 < said.features.size(); ++i) {
      outputs[fmt::format("feature{}", i)] = said.features[i];
    }
    return outputs;
  });
}

}  // namespace x2ctpa::check
