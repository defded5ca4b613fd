// One walk over a volume in slabs, with what it costs.
#pragma once

#include <functional>
#include <vector>

#include "models/slabs/slab_layers.h"
#include "models/slabs/slab_stages.h"

namespace x2ctpa::slabs {

/// A chain of stages over one source (B, D, H, W, C).
class Pass {
 public:
  explicit Pass(const at::Tensor& source)
      : source_(source), size_(source.sizes().vec()), type_(source.scalar_type()) {}

  /// A convolution, after `before`, that computes in `type`.
  void add(const Conv& conv, const Activation& before, at::ScalarType type);
  void add(const Block& block, const Activation& first, const Activation& second,
           at::ScalarType type);
  /// The first convolution of a block; with `fork` the shortcut's channels, where the block has
  /// one, come after its own.
  void add_half(const Block& block, const Activation& first, at::ScalarType type, bool fork);
  /// Adds a volume of the present size.
  void add_volume(const at::Tensor& volume);

  const at::Tensor& source() const { return source_; }
  const std::vector<int64_t>& size() const { return size_; }  ///< of the output
  at::ScalarType type() const { return type_; }               ///< of the output
  int64_t beside() const { return beside_; }  ///< channels of the output that are a shortcut's

  /// Sends the source through, in slabs that make no stage's input or output larger than
  /// `slab_bytes`, or slice by slice; nothing where the source is on the device `meta`.
  void run(int64_t slab_bytes, const std::function<void(const at::Tensor&, int64_t)>& sink);
  /// What run() takes beside source and result.
  int64_t temporary_bytes(int64_t slab_bytes) const;

 private:
  /// Per stage, for one slice of the source.
  struct Work {
    double in_slices, out_slices;
    int64_t in_bytes, out_bytes;  // of one slice of the stage, padding included
    int64_t waiting;              // slices of the input that are kept between two slabs
    int64_t weight_bytes;
  };
  void note(const Conv& conv, at::ScalarType type);
  void note_doubled(at::ScalarType type);
  void add_aside(const Conv& conv, at::ScalarType type);
  int64_t slices_at_once(int64_t slab_bytes) const;

  at::Tensor source_;
  std::vector<int64_t> size_;
  at::ScalarType type_;
  int64_t beside_ = 0;
  Chain chain_;
  std::vector<Work> work_;
};

}  // namespace x2ctpa::slabs
