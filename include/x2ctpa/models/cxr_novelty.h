// Is an X-ray like those that a model was trained with? Mahalanobis distances to the training set,
// of the picture itself, shrunk to a thumbnail, and of the embedding that the model makes of it
// (Lee et al., arXiv 1807.03888). Only means and covariances are kept, no training case.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>

#include "x2ctpa/core/cxr_view.h"

namespace x2ctpa {

/// One Gaussian over a training set, with the distance that few of its members exceed.
struct NoveltyPart {
  at::Tensor mean;       ///< (F) float64
  at::Tensor precision;  ///< (F, F) float64: the inverse of the shrunk covariance
  double limit = 0;      ///< 99.5 % quantile of the distances of held-out training cases

  /// sqrt((x - mean)' precision (x - mean)) of rows (N, F) -> (N).
  at::Tensor distance(const at::Tensor& x) const;
};

/// The Gaussian of rows (N, F), N >= 2: covariance shrunk to a multiple of the identity as Ledoit
/// and Wolf (J. Multivariate Analysis 88, 2004, 365) choose it. The limit comes from five folds,
/// each measured by a Gaussian of the other four. Throws Error for fewer rows.
NoveltyPart fit_novelty(const at::Tensor& rows);

/// How far an X-ray is from the training set, in units of the limits: above 1 is unlike it.
struct Novelty {
  double picture = 0, embedding = 0;
  bool unlike_training() const { return picture > 1 || embedding > 1; }
};

class CxrNovelty {
 public:
  /// From the training X-rays: their thumbnails (N, 144) and embeddings (N, E).
  CxrNovelty(const at::Tensor& thumbnails, const at::Tensor& embeddings);

  /// What the first distance is measured on: pictures (N, 1, S, S) in [0, 1] shrunk to 12 x 12,
  /// each then of mean 0 and deviation 1, so that exposure does not count. (N, 144) float64
  static at::Tensor thumbnails(const at::Tensor& pictures);

  /// From `folder`/cxr_novelty.safetensors, of the lateral view cxr_novelty_lateral.safetensors;
  /// nothing for a model folder without it.
  static std::optional<CxrNovelty> load(const std::filesystem::path& folder,
                                        CxrView view = CxrView::frontal);
  void save(const std::filesystem::path& folder, CxrView view = CxrView::frontal) const;

  /// Of one X-ray (1, S, S) and its embedding (E).
  Novelty measure(const at::Tensor& picture, const at::Tensor& embedding) const;

 private:
  CxrNovelty() = default;

  NoveltyPart picture_, embedding_;
};

}  // namespace x2ctpa
