// Guidance by projection: while a volume is sampled, it is pulled towards one whose own X-ray is
// the one that was given. The gradient goes through projection and decoder, not through the
// denoiser (as in arXiv 2311.16424; DPS, arXiv 2209.14687, goes through the denoiser as well).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/diffusion/schedule.h"

namespace x2ctpa {

struct ProjectionGuidanceOptions {
  double strength = 0;
  double until = 1;
  std::vector<double> interval;
  int64_t every = 1;

  bool is_on() const { return strength > 0; }
  void describe(OptionList& options);
};

/// Throws Error, with what to do, where volumes of the model folder `model` cannot be guided: its
/// pictures are no X-rays, its volumes not in HU, or its dataset.yaml does not say how the X-rays
/// were taken, as that of a converted published model. Reads that file alone.
void check_projection_guidance(const ProjectionGuidanceOptions& options,
                               const std::filesystem::path& model);

/// How far a volume's own projection is from an X-ray.
struct ProjectionResidual {
  at::Tensor picture;        ///< (S, S): what the X-ray does not explain; 0 where no ray crosses
                             ///< and where the X-ray is black or white
  double correlation = 0;    ///< of both
  at::Tensor hu_gradient{};  ///< (D, H, W) of half the sum of squares of `picture`, if asked for
};

/// The residual of a volume (D, H, W) in HU, in the dataset's geometry and typical spacing, after
/// the best affine map of the X-ray's grey levels, whose exposure nobody knows. `cxr` (S, S) in
/// [0, 1]. Both without their slow variation, as evaluation compares them: scatter, and the body
/// outside the volume, are slow. What the window cut off counts as lung.
ProjectionResidual projection_residual(const at::Tensor& hu, const at::Tensor& cxr,
                                       const DatasetInfo& info, bool with_gradient);

class ProjectionGuidance {
 public:
  /// Latents (1, C, d, h, w), as the sampler has them, to volumes (1, 1, D, H, W) in [-1, 1].
  struct Decoder {
    std::function<at::Tensor(const at::Tensor& x0)> volume;  ///< with gradients where they are on
    /// The volume of `other`, which is close to `x0`, whose volume is given.
    std::function<at::Tensor(const at::Tensor& x0, const at::Tensor& volume,
                             const at::Tensor& other)>
        near;
  };
  /// The covariance of latents times a latent: directions that are likely.
  using Covariance = std::function<at::Tensor(const at::Tensor& x)>;

  /// `covariance` may be empty: all directions are equal then. Throws Error where the dataset's
  /// pictures are no X-rays or its volumes not in HU.
  ProjectionGuidance(const ProjectionGuidanceOptions& options, const DatasetInfo& info,
                     Covariance covariance);

  /// Whether a step at mixture `now` pulls, after which `further` steps come.
  bool acts(Mixture now, int64_t further) const;

  /// `x0` (1, C, d, h, w) moved against the gradient of the residual of its X-ray `cxr` (1, S, S):
  /// `strength` of the way to the least residual along that line, as far as that is linear.
  at::Tensor pulled(const at::Tensor& x0, const at::Tensor& cxr, const Decoder& decode) const;

 private:
  ProjectionGuidanceOptions options_;
  DatasetInfo info_;
  Covariance covariance_;
};

}  // namespace x2ctpa
