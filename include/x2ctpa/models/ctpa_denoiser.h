// The CXR-conditioned denoiser: the 3D U-Net of the paper under the embedding of an X-ray. The
// embedding comes from a small encoder trained with it; or from a published vision transformer,
// frozen and outside, as in the paper, or trained further as a part of the denoiser. What either
// finds in each place of the picture may be back-projected along the beam into the latent grid.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/models/back_projection.h"
#include "x2ctpa/models/cxr_encoder.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vision_transformer.h"

namespace x2ctpa {

/// What encodes the X-ray: the small encoder, trained with the denoiser; a published vision
/// transformer; or the same, trained further with the denoiser.
enum class CxrEncoding { trained, frozen, finetuned };
constexpr auto words(CxrEncoding) { return std::array{"trained", "frozen", "finetuned"}; }

/// Where the X-ray's features lie in the volume: as the dataset's X-rays were projected, or as an
/// affine map found in each X-ray's embedding says from there.
enum class SpatialAlignment { geometry, learned };
constexpr auto words(SpatialAlignment) { return std::array{"geometry", "learned"}; }

/// none: the denoiser makes whole latents; linear: what a LinearMean leaves.
enum class LatentMean { none, linear };
constexpr auto words(LatentMean) { return std::array{"none", "linear"}; }

struct CtpaDenoiserOptions {
  CxrEncoderOptions encoder;
  VisionTransformerOptions transformer;  ///< a frozen or finetuned encoder; from its model folder
  Unet3dOptions unet;  ///< in_channels, out_channels and cond_dim follow from the rest
  CxrViews views = CxrViews::frontal;
  CxrEncoderOptions lateral;  ///< its mean and std; the rest is that of `encoder`
  CxrEncoding cxr_encoder = CxrEncoding::trained;
  bool spatial_condition = true;
  SpatialAlignment spatial_alignment = SpatialAlignment::geometry;
  bool label_guidance = false;
  LatentMean mean = LatentMean::none;

  void describe(OptionList& options);
};

/// What a label says to a denoiser with label guidance: PE absent, present, or not known. The paper
/// joins this number to the condition.
constexpr int64_t label_negative = 0, label_positive = 1, label_unknown = 2;

/// What does not change over the steps of one sample.
struct CxrCondition {
  at::Tensor embedding;  ///< (B, cond_dim), the label at its end with label guidance
  at::Tensor spatial;    ///< (B, V feature_channels, d, h, w); undefined without spatial condition
  at::Tensor mean;       ///< (B, C, d, h, w), standardised; undefined for whole latents
  at::Tensor rest_std;   ///< (1, C) or (B, C): the unit of what the mean leaves
  at::Tensor sets{};     ///< (B) int64 on the CPU: the number of each one's ViewSet

  /// The standardised latents of what the denoiser makes, and the inverse; they are the same
  /// without a mean.
  at::Tensor latent(const at::Tensor& rest) const;
  at::Tensor rest(const at::Tensor& latent) const;
};

class CtpaDenoiserImpl : public torch::nn::Module {
 public:
  /// `latent_channels` and `latent_dhw` are those of the autoencoder on the dataset's grid;
  /// `geometry` holds a beam for each of options.views. Throws Error for two views with a vision
  /// transformer.
  CtpaDenoiserImpl(CtpaDenoiserOptions options, int64_t latent_channels,
                   std::array<int64_t, 3> latent_dhw, const ViewBeams& geometry);

  /// The condition of X-rays (B, V, S, S) in [0, 1] by the denoiser's own encoders, one for each
  /// view, whose embeddings are added and whose features are joined; a view that is not there adds
  /// zeros, so that its encoder's bias tells whether it is. `labels` (B): 0,
  /// 1 or 2, as above; all unknown when undefined; only for a model with label guidance. Throws
  /// Error when the model was made for a frozen encoder.
  CxrCondition condition(const at::Tensor& cxr, const at::Tensor& labels = {});

  /// The trained encoders' embedding (B, encoder.embedding_dim) of X-rays (B, V, S, S) alone.
  at::Tensor embed(const at::Tensor& cxr);

  /// The condition from what a vision transformer, frozen or finetuned, found: `pooled` (B,
  /// encoder.embedding_dim), or with unet.cond_tokens `tokens` (B, cond_tokens,
  /// encoder.embedding_dim), which spatial conditioning needs as well.
  CxrCondition condition_from(const VisionFeatures& found, const at::Tensor& labels = {});

  /// Whether condition_from() reads the tokens.
  bool needs_tokens() const;

  /// The prediction for x_t (B, C, d, h, w) at t (B); `drop` (B) bool hides the X-ray of a sample,
  /// its embedding and its spatial features, as guidance needs it.
  at::Tensor forward(const at::Tensor& x_t, const at::Tensor& t, const CxrCondition& condition,
                     const at::Tensor& drop = {});

  /// The prediction under the condition and the one without it, of one batch of two; guided() in
  /// diffusion/guidance.h makes one of both.
  std::pair<at::Tensor, at::Tensor> own_and_null(const at::Tensor& x_t, const at::Tensor& t,
                                                 const CxrCondition& condition);

  /// Makes an untrained denoiser predict 0, for training beside something that predicts already.
  void start_from_zero() { unet_->start_from_zero(); }

  const CtpaDenoiserOptions& options() const { return options_; }
  /// The finetuned encoder, to be loaded before training; empty for the other kinds.
  VisionTransformer transformer() const { return transformer_; }

 private:
  /// One of the views: what reads it and how it lies in the volume.
  struct View {
    BackProjection project;
    CxrEncoder encoder{nullptr};
    torch::nn::Linear alignment{nullptr};
  };

  void make_spatial_layers();
  /// Embedding and projected features of view `v` of X-rays (B, V, S, S), zero where it is missing.
  CxrFeatures seen_by(View& view, int64_t v, const at::Tensor& cxr);
  at::Tensor with_label(const at::Tensor& embedding, const at::Tensor& labels) const;
  /// The feature map of a transformer's patch tokens, (B, feature_channels, side, side).
  at::Tensor token_map(const at::Tensor& tokens);
  at::Tensor projected(View& view, const at::Tensor& map, const at::Tensor& embedding);

  CtpaDenoiserOptions options_;
  std::vector<View> views_;
  VisionTransformer transformer_{nullptr};
  Unet3d unet_{nullptr};
  torch::nn::LayerNorm token_norm_{nullptr};  // of patch tokens, for spatial conditioning by them
  torch::nn::Linear token_map_{nullptr};
};
TORCH_MODULE(CtpaDenoiser);

}  // namespace x2ctpa
