#include "x2ctpa/models/ctpa_denoiser.h"

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <vector>

#include "models/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {

namespace {

at::Tensor channel_unit(const at::Tensor& std, const at::Tensor& like) {
  return std.to(like.options()).view({std.size(0), -1, 1, 1, 1});
}

// `x` (B, ...) times a number for each (B).
at::Tensor times(const at::Tensor& x, const at::Tensor& each) {
  std::vector<int64_t> shape(size_t(x.dim()), 1);
  shape[0] = -1;
  return x * each.to(x.options()).view(shape);
}

}  // namespace

at::Tensor CxrCondition::latent(const at::Tensor& rest) const {
  return mean.defined() ? mean.to(rest.scalar_type()) + channel_unit(rest_std, rest) * rest : rest;
}

at::Tensor CxrCondition::rest(const at::Tensor& latent) const {
  return mean.defined() ? (latent - mean.to(latent.scalar_type())) / channel_unit(rest_std, latent)
                        : latent;
}

void CtpaDenoiserOptions::describe(OptionList& options) {
  options.section("encoder", encoder);
  options.section("transformer", transformer);
  options.section("unet", unet);
  options.add(
      "views", &views,
      "The X-rays of a patient that it is given: frontal alone, or both, of which either may "
      "be missing.",
      {}, std::string(word_of(CxrViews::frontal)));
  options.add("lateral_mean", &lateral.mean, "Mean of the lateral training X-rays, in [0, 1].",
              {.min = 0, .max = 1, .unwritten_at = "0.5"});
  options.add("lateral_std", &lateral.std, "Standard deviation of the lateral training X-rays.",
              {.min = 1e-6, .unwritten_at = "0.25"});
  options.add("cxr_encoder", &cxr_encoder,
              "trained: the small encoder, with the denoiser; frozen: a published vision "
              "transformer; finetuned: the same, "
              "trained further with the denoiser.");
  options.add("spatial_condition", &spatial_condition,
              "Back-project a CXR feature map (a vision transformer's patch tokens, or the small "
              "encoder's) along the beam "
              "and join it to the noisy latent.");
  options.add("spatial_alignment", &spatial_alignment,
              "geometry: as the dataset's X-rays were projected; learned: from there, a shift, "
              "scale and turn of each X-ray "
              "found in its embedding, for real X-rays whose geometry is not known.");
  options.add(
      "label_guidance", &label_guidance,
      "Join the PE label (0, 1, or 2: unknown) to the condition, as the paper's variant does.");
  options.add(
      "mean", &mean,
      "linear: the mean latent comes first, by ridge regression on the X-ray, and the denoiser "
      "makes the rest. none: it makes the whole latent, as published.");
}

CtpaDenoiserImpl::CtpaDenoiserImpl(CtpaDenoiserOptions options, int64_t latent_channels,
                                   std::array<int64_t, 3> latent_dhw, const ViewBeams& geometry)
    : options_(std::move(options)) {
  const int64_t views = view_count(options_.views);
  if (int64_t(geometry.beams.size()) != views)
    throw Error(fmt::format("denoiser: expected the beams of {} views, found {}", views,
                            geometry.beams.size()));
  for (const auto& beam : geometry.beams) views_.push_back({BackProjection(beam, latent_dhw)});
  const bool trained = options_.cxr_encoder == CxrEncoding::trained;
  if (trained && options_.unet.cond_tokens > 0) {
    throw Error(
        "diffusion.denoiser.unet.cond_tokens needs a vision transformer as CXR encoder: give "
        "--cxr-encoder, or set it to 0");
  }
  options_.unet.out_channels = latent_channels;
  options_.unet.in_channels =
      latent_channels +
      (options_.spatial_condition ? views * options_.encoder.feature_channels : 0) +
      (options_.mean == LatentMean::linear ? latent_channels : 0);
  if (!trained && views > 1) {
    throw Error(
        "diffusion.denoiser.views both needs the small encoder of each view, trained with the "
        "denoiser: leave out --cxr-encoder, or set views to frontal");
  }
  if (options_.label_guidance && options_.unet.cond_tokens > 0) {
    throw Error(
        "diffusion.denoiser: label_guidance needs a condition that is a vector; set "
        "unet.cond_tokens to 0");
  }
  options_.unet.cond_dim = options_.encoder.embedding_dim + (options_.label_guidance ? 1 : 0);
  if (options_.cxr_encoder == CxrEncoding::finetuned)
    transformer_ = register_module("transformer", VisionTransformer(options_.transformer));
  if (trained) {
    views_[0].encoder = register_module("encoder", CxrEncoder(options_.encoder));
    if (views > 1) {
      CxrEncoderOptions lateral = options_.encoder;
      lateral.mean = options_.lateral.mean;
      lateral.std = options_.lateral.std;
      views_[1].encoder = register_module("encoder_lateral", CxrEncoder(lateral));
    }
  }
  if (options_.spatial_condition) make_spatial_layers();
  unet_ = register_module("unet", Unet3d(options_.unet));
  for (const int axis : {1, 2}) {
    if (latent_dhw[axis] % unet_->size_factor() != 0) {
      throw Error(
          fmt::format("the latent grid is {}x{}x{} (D, H, W); with {} levels in "
                      "diffusion.denoiser.unet.dim_mults "
                      "H and W must be multiples of {}. Change the grid, the autoencoder's "
                      "downsampling or the levels.",
                      latent_dhw[0], latent_dhw[1], latent_dhw[2], options_.unet.dim_mults.size(),
                      unet_->size_factor()));
    }
  }
}

void CtpaDenoiserImpl::make_spatial_layers() {
  if (options_.cxr_encoder != CxrEncoding::trained) {
    const int64_t width = options_.transformer.width;
    token_norm_ =
        register_module("token_norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({width})));
    token_map_ =
        register_module("token_map", torch::nn::Linear(width, options_.encoder.feature_channels));
  }
  if (options_.spatial_alignment == SpatialAlignment::geometry) return;
  for (size_t v = 0; v < views_.size(); ++v) {
    auto& alignment = views_[v].alignment =
        register_module(v == 0 ? "alignment" : "alignment_lateral",
                        torch::nn::Linear(options_.encoder.embedding_dim, 6));
    torch::nn::init::zeros_(alignment->weight);  // the geometry, until the training says otherwise
    torch::nn::init::zeros_(alignment->bias);
  }
}

bool CtpaDenoiserImpl::needs_tokens() const {
  return options_.cxr_encoder != CxrEncoding::trained &&
         (options_.unet.cond_tokens > 0 || options_.spatial_condition);
}

at::Tensor CtpaDenoiserImpl::token_map(const at::Tensor& tokens) {
  const auto& t = options_.transformer;
  const int64_t side = t.image_size / t.patch_size;
  require_shape(tokens, {-1, 1 + side * side, t.width},
                "tokens of the CXR encoder (B, 1 + patches, width)");
  const auto patches = token_map_->forward(token_norm_->forward(tokens.narrow(1, 1, side * side)));
  return patches.transpose(1, 2).reshape({tokens.size(0), -1, side, side});
}

at::Tensor CtpaDenoiserImpl::projected(View& view, const at::Tensor& map,
                                       const at::Tensor& embedding) {
  at::Tensor alignment;
  if (view.alignment) {
    const auto identity = at::tensor({1, 0, 0, 0, 1, 0}, at::kFloat).to(map.device());
    alignment = (view.alignment->forward(embedding).to(at::kFloat) + identity).view({-1, 2, 3});
  }
  // Detector coordinates need more digits than bfloat16 has.
  return view.project(map.to(at::kFloat), alignment).to(map.scalar_type());
}

at::Tensor CtpaDenoiserImpl::with_label(const at::Tensor& embedding,
                                        const at::Tensor& labels) const {
  if (!options_.label_guidance) {
    if (labels.defined())
      throw Error("this denoiser takes no PE label: it was trained without label guidance");
    return embedding;
  }
  if (!labels.defined())
    return at::cat(
        {embedding, at::full({embedding.size(0), 1}, label_unknown, embedding.options())}, 1);
  require_shape(labels, {embedding.size(0)}, "labels (B)");
  return at::cat({embedding, labels.to(embedding.options()).unsqueeze(1)}, 1);
}

CxrCondition CtpaDenoiserImpl::condition(const at::Tensor& cxr, const at::Tensor& labels) {
  if (transformer_) {
    return condition_from(transformer_->find(cxr), labels);
  }
  std::vector<at::Tensor> maps;
  at::Tensor embedding;
  for (size_t v = 0; v < views_.size(); ++v) {
    const CxrFeatures features = seen_by(views_[v], int64_t(v), cxr);
    embedding = v == 0 ? features.embedding : embedding + features.embedding;
    maps.push_back(features.map);
  }
  embedding = with_label(embedding, labels);
  if (!options_.spatial_condition) return {embedding, {}};
  return {embedding, maps.size() == 1 ? maps[0] : at::cat(maps, 1)};
}

CxrFeatures CtpaDenoiserImpl::seen_by(View& view, int64_t v, const at::Tensor& cxr) {
  if (!view.encoder)
    throw Error("this denoiser takes what a frozen CXR encoder found, not an X-ray");
  require_shape(cxr, {-1, int64_t(views_.size()), -1, -1}, "denoiser: X-rays (B, V, S, S)");
  const bool all = views_.size() == 1;
  const auto there = all ? at::Tensor() : views_there(cxr).select(1, v);
  CxrFeatures found = view.encoder->forward(all ? cxr : cxr.narrow(1, v, 1).nan_to_num(0));
  if (options_.spatial_condition) found.map = projected(view, found.map, found.embedding);
  if (all) return found;
  return {times(found.embedding, there),
          options_.spatial_condition ? times(found.map, there) : found.map};
}

CxrCondition CtpaDenoiserImpl::condition_from(const VisionFeatures& found,
                                              const at::Tensor& labels) {
  const auto embedding =
      unet_->condition(options_.unet.cond_tokens > 0 ? found.tokens : found.pooled);
  if (!options_.spatial_condition) return {with_label(embedding, labels), {}};
  return {with_label(embedding, labels), projected(views_[0], token_map(found.tokens), embedding)};
}

at::Tensor CtpaDenoiserImpl::embed(const at::Tensor& cxr) {
  if (transformer_)
    return options_.unet.cond_tokens > 0 ? transformer_->tokens(cxr).mean(1)
                                         : transformer_->embed(cxr);
  return condition(cxr).embedding.narrow(1, 0, options_.encoder.embedding_dim);
}

at::Tensor CtpaDenoiserImpl::forward(const at::Tensor& x_t, const at::Tensor& t,
                                     const CxrCondition& condition, const at::Tensor& drop) {
  std::vector<at::Tensor> input{x_t};
  const auto join = [&](const at::Tensor& x) {
    if (!x.defined()) return;
    const auto shown =
        drop.defined() ? x * drop.logical_not().to(x.scalar_type()).view({-1, 1, 1, 1, 1}) : x;
    input.push_back(shown.to(x_t.scalar_type()));
  };
  join(condition.spatial);
  join(condition.mean);
  return unet_->forward(input.size() == 1 ? x_t : at::cat(input, 1), t, condition.embedding, drop);
}

std::pair<at::Tensor, at::Tensor> CtpaDenoiserImpl::own_and_null(const at::Tensor& x_t,
                                                                 const at::Tensor& t,
                                                                 const CxrCondition& condition) {
  const auto twice = [](const at::Tensor& x) { return x.defined() ? at::cat({x, x}) : x; };
  const auto own = at::zeros({x_t.size(0)}, x_t.options().dtype(at::kBool));
  const auto both = forward(twice(x_t), twice(t),
                            {twice(condition.embedding), twice(condition.spatial),
                             twice(condition.mean), condition.rest_std},
                            at::cat({own, own.logical_not()}))
                        .chunk(2);
  return {both[0], both[1]};
}

}  // namespace x2ctpa
