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

#include "models/slabs/slab_layers.h"

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

/// y = silu(x * scale + shift), or without silu; none when undefined.
struct Activation {
  at::Tensor scale, shift;  ///< (B, C) float
  bool silu = true;
};

/// The norm of a volume with these moments, as in evaluation, with the activation that follows it.
/// A batch norm goes by its running averages. Undefined where the moments are needed and empty.
Activation activation_after(const Norm& norm, const Moments& moments);

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
  PaddedSlices(const Conv& conv, Activation before, at::ScalarType type);
  /// The slices kept and the new ones, padded at the sides and, where the volume begins or ends,
  /// along D.
  at::Tensor append(const at::Tensor& slab, bool last);
  /// Keeps all but the first `done` slices of `padded`.
  void keep_after(const at::Tensor& padded, int64_t done);

 private:
  void activate_into(at::Tensor inside, const at::Tensor& slab) const;

  std::vector<int64_t> padding_;
  bool zeros_;
  Activation before_;
  at::ScalarType type_;
  bool started_ = false;
  at::Tensor kept_;
};

class ConvStage : public Stage {
 public:
  ConvStage(const Conv& conv, Activation before, at::ScalarType type);
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  Conv conv_;  // its numbers in the type that it computes in
  PaddedSlices input_;
};

/// Linear interpolation to twice the size along D, H and W; voxels beyond the ends are as those at
/// the ends.
class DoubleStage : public Stage {
 public:
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  at::Tensor kept_;  // the last slice, doubled along H and W
};

enum class Join { sum, beside };

/// Joins what `shortcut` makes of the input (the input itself where it is empty) to what `inner`
/// makes of it: their sum, or the channels of one after those of the other. Both keep the size;
/// `shortcut` looks at no other slice.
class ResidualStage : public Stage {
 public:
  explicit ResidualStage(Chain inner, Chain shortcut = {}, Join join = Join::sum)
      : inner_(std::move(inner)), shortcut_(std::move(shortcut)), join_(join) {}
  at::Tensor push(const at::Tensor& slab, bool last) override;

 private:
  /// Adds the slices that have waited longest to `sum`, as many as it has.
  void take_skipped(const at::Tensor& sum);

  Chain inner_, shortcut_;
  Join join_;
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
