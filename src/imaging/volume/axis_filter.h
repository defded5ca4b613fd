// One axis of a separable resampling: banded sums, for splines after their prefilter (Unser, IEEE
// Signal Processing Magazine 16(6), 1999).
//
// Lines are worked on in blocks of `filter_lanes` beside each other, a row of the block holding one
// sample of every line. The compiler turns the loops over lanes into vector instructions, and a
// block stays in the cache from the first pass over it to the last.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace x2ctpa {

constexpr int64_t filter_lanes = 64;
constexpr int64_t filter_margin =
    2;  ///< rows of a block before the first and after the last sample

/// How samples become cubic B-spline coefficients before the sums.
enum class Prefilter {
  none,     ///< not at all
  mirror,   ///< the line goes on mirrored about its end samples
  nearest,  ///< the line goes on with the values of its end samples
};

/// What makes `targets()` samples of a line from `n` samples.
class AxisFilter {
 public:
  AxisFilter(int64_t n, Prefilter prefilter) : n_(n), prefilter_(prefilter) {}

  /// Adds a target: the sum of weights times the samples from `first` on. `first` may lie in the
  /// margin with Prefilter::nearest. No weights: the target is 0.
  void add(int64_t first, const std::vector<float>& weights);

  /// The targets of samples from which `level` was subtracted.
  void subtract(float level);

  /// The target is rounded to an integer, halves away from zero.
  void round_targets() { round_ = true; }

  int64_t n() const { return n_; }
  int64_t targets() const { return int64_t(first_.size()); }
  int64_t block_floats() const { return (n_ + 2 * filter_margin) * filter_lanes; }
  /// Where sample 0 of a block begins.
  static constexpr int64_t first_row() { return filter_margin * filter_lanes; }

  /// `block`: n rows of samples between margins; it is overwritten. Target j goes to the row
  /// out + j * stride, of which `lanes` values are written.
  void apply(float* block, float* out, int64_t stride, int64_t lanes) const;

 private:
  int64_t n_;
  Prefilter prefilter_;
  bool round_ = false;
  std::vector<int64_t> first_, begin_{0};  ///< per target: first sample, first weight
  std::vector<float> weights_;
  std::vector<float> shift_;  ///< per target, or empty
};

/// The weights of cubic B-spline coefficients at a continuous index: of `count` from `first` on.
struct CubicWeights {
  int64_t first = 0, count = 4;
  std::array<float, 4> weights{};
};

/// For a line of n samples that goes on mirrored: inside the line.
CubicWeights cubic_weights_mirrored(double c, int64_t n);

/// For a line that goes on with its end values: the first and the last may lie in the margin.
CubicWeights cubic_weights_extended(double c, int64_t n);

/// Applies the filter to `lines` lines beside each other: sample k of line i at in[k * in_stride +
/// i], target j at out[j * out_stride + i].
void filter_columns(const AxisFilter& filter, const float* in, int64_t in_stride, int64_t lines,
                    float* out, int64_t out_stride);

/// The same with a second filter on the targets of the first, which are kept nowhere.
void filter_columns_twice(const AxisFilter& first, const AxisFilter& second, const float* in,
                          int64_t in_stride, int64_t lines, float* out, int64_t out_stride);

/// Applies the filter to `lines` lines below each other: sample k of line i at in[i * in_stride +
/// k], target j at out[i * out_stride + j].
void filter_rows(const AxisFilter& filter, const float* in, int64_t in_stride, int64_t lines,
                 float* out, int64_t out_stride);

}  // namespace x2ctpa
