// Convolutions over volumes that come in slabs along D: each stage keeps the few slices that its
// next output needs, so no slab is computed twice and nothing volume-sized is kept. A pass through
// a chain of stages gives what the undivided convolutions give.
//
// Slabs are (B, slices, H, W, C), in memory as a channels-last tensor (B, C, slices, H, W).
#pragma once

#include <ATen/core/Tensor.h>

#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "models/vqgan3d_blocks.h"

namespace x2ctpa::slabs {

/// Mean and variance per sample and channel of a volume that is seen slab by slab.
class Moments {
 public:
  void add(const at::Tensor& slab);

  int64_t count() const { return count_; }          ///< voxels per sample
  const at::Tensor& mean() const { return mean_; }  ///< (B, C) double
  const at::Tensor& square() const { return m2_; }  ///< (B, C) double: sum of squared deviations

 private:
  int64_t count_ = 0;
  at::Tensor mean_, m2_;
};

/// y = silu(x * scale + shift); none when undefined.
struct Activation {
  at::Tensor scale, shift;  ///< (B, C) float
};

/// The norm of a volume with these moments, as in evaluation, with the activation that follows it.
/// A batch norm goes by its running averages. Undefined where the moments are needed and empty.
Activation activation_after(const vqgan3d::NormImpl& norm, const Moments& moments);

class Stage {
 public:
  virtual ~Stage() = default;
  /// Takes the next slices, the volume's last ones where `last`, and returns the output slices that
  /// can be computed now; undefined when there are none.
  virtual at::Tensor push(const at::Tensor& slab, bool last) = 0;
};

using Chain = std::vector<std::unique_ptr<Stage>>;

/// The axis of a slab that counts its slices.
constexpr int64_t slice_axis = 1;

/// A slab as the convolutions take it, (B, C, slices, H, W), without a copy.
at::Tensor as_volume(const at::Tensor& slab);
at::Tensor as_slab(const at::Tensor& volume);

/// The padded slices that a convolution waits for, activated.
class PaddedSlices {
 public:
  PaddedSlices(vqgan3d::Sizes padding, Activation before, at::ScalarType type);
  /// The slices kept and the new ones, padded at the sides and, where the volume begins or ends,
  /// along D.
  at::Tensor append(const at::Tensor& slab, bool last);
  /// Keeps all but the first `done` slices of `padded`.
  void keep_after(const at::Tensor& padded, int64_t done);

 private:
  void activate_into(at::Tensor inside, const at::Tensor& slab) const;

  vqgan3d::Sizes padding_;
  Activation before_;
  at::ScalarType type_;
  bool started_ = false;
  at::Tensor kept_;
};

/// The numbers of a convolution, in the type that it computes in.
struct Kernel {
  at::Tensor weight, bias;
  vqgan3d::Sizes stride;
};

class ConvStage : public Stage {
 public:
  ConvStage(const vqgan3d::SamePadConvImpl& layer, Activation before, at::ScalarType type);
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  Kernel kernel_;
  PaddedSlices input_;
};

class UpStage : public Stage {
 public:
  UpStage(const vqgan3d::SamePadUpImpl& layer, Activation before, at::ScalarType type);
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  Kernel kernel_;
  PaddedSlices input_;
};

/// Adds what goes in to what `inner`, which keeps the size, makes of it.
class ResidualStage : public Stage {
 public:
  explicit ResidualStage(Chain inner) : inner_(std::move(inner)) {}
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  Chain inner_;
  std::deque<at::Tensor> skipped_;  // slices that wait for their residual
};

/// Adds the slices of a whole volume.
class AddStage : public Stage {
 public:
  explicit AddStage(at::Tensor volume) : volume_(std::move(volume)) {}
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  at::Tensor volume_;
  int64_t next_ = 0;
};

/// Sends `volume` through `chain`, `slices` at a time. `sink` gets each output and the number of
/// its first slice. It may overwrite slices of `volume` below the output's end where the chain
/// keeps the size: they have been read.
void stream(const at::Tensor& volume, int64_t slices, Chain& chain,
            const std::function<void(const at::Tensor&, int64_t)>& sink);

}  // namespace x2ctpa::slabs
