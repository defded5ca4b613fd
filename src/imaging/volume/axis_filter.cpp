#include "imaging/volume/axis_filter.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "imaging/volume/vector_clones.h"

namespace x2ctpa {
namespace {

constexpr float pole = -0.26794919243112270647f;  // sqrt(3) - 2
constexpr float gain = 6;                         // (1 - pole) (1 - 1 / pole)

// The value of the causal pass at the first sample: the sum over the mirrored line.
X2CTPA_VECTOR_CLONES
void start_mirrored(const float* x, int64_t n, float* start) {
  constexpr int64_t horizon = 32;  // |pole|^32 is below 1e-18
  for (int64_t i = 0; i < filter_lanes; ++i) start[i] = 0;
  double power = 1, norm = 1;
  if (n > horizon) {
    for (int64_t k = 0; k < horizon; ++k, power *= pole)
      for (int64_t i = 0; i < filter_lanes; ++i) start[i] += float(power) * x[k * filter_lanes + i];
    return;
  }
  // Short lines: the exact sum over all mirrored periods.
  const double period = std::pow(double(pole), 2.0 * double(n - 1));
  norm = 1 / (1 - period);
  for (int64_t k = 0; k < n; ++k, power *= pole) {
    const double back = k > 0 && k < n - 1 ? period / power : 0;
    const auto w = float((power + back) * norm);
    for (int64_t i = 0; i < filter_lanes; ++i) start[i] += w * x[k * filter_lanes + i];
  }
}

X2CTPA_VECTOR_CLONES
void causal_pass(float* x, int64_t n, const float* start) {
  for (int64_t i = 0; i < filter_lanes; ++i) x[i] = start[i];
  for (int64_t k = 1; k < n; ++k) {
    float* now = x + k * filter_lanes;
    const float* before = now - filter_lanes;
    for (int64_t i = 0; i < filter_lanes; ++i) now[i] = gain * now[i] + pole * before[i];
  }
}

X2CTPA_VECTOR_CLONES
void anticausal_pass(float* x, int64_t n) {
  for (int64_t k = n - 2; k >= 0; --k) {
    float* now = x + k * filter_lanes;
    const float* after = now + filter_lanes;
    for (int64_t i = 0; i < filter_lanes; ++i) now[i] = pole * (after[i] - now[i]);
  }
}

X2CTPA_VECTOR_CLONES
void prefilter_mirrored(float* x, int64_t n) {
  if (n < 2) return;
  alignas(64) float start[filter_lanes];
  start_mirrored(x, n, start);
  for (int64_t i = 0; i < filter_lanes; ++i) start[i] *= gain;
  causal_pass(x, n, start);
  float* last = x + (n - 1) * filter_lanes;
  const float* before = last - filter_lanes;
  const float factor = pole / (pole * pole - 1);
  for (int64_t i = 0; i < filter_lanes; ++i) last[i] = factor * (last[i] + pole * before[i]);
  anticausal_pass(x, n);
}

// Both passes over the line that goes on for ever with its end values, whose coefficients in the
// margins are known in closed form.
X2CTPA_VECTOR_CLONES
void prefilter_extended(float* x, int64_t n) {
  alignas(64) float start[filter_lanes], end[filter_lanes];
  const float steady = gain / (1 - pole);  // of the causal pass over a constant 1
  float* last = x + (n - 1) * filter_lanes;
  for (int64_t i = 0; i < filter_lanes; ++i) start[i] = steady * x[i], end[i] = steady * last[i];
  causal_pass(x, n, start);
  const float constant = -pole / (1 - pole), decaying = -pole / (1 - pole * pole);
  for (int64_t i = 0; i < filter_lanes; ++i) {
    const float excess = last[i] - end[i];
    last[i] = constant * end[i] + decaying * excess;
    last[filter_lanes + i] = constant * end[i] + decaying * pole * excess;
    last[2 * filter_lanes + i] = constant * end[i] + decaying * pole * pole * excess;
  }
  anticausal_pass(x, n);
  for (int64_t i = 0; i < filter_lanes; ++i) {
    x[i - filter_lanes] = pole * (x[i] - start[i]);
    x[i - 2 * filter_lanes] = pole * (x[i - filter_lanes] - start[i]);
  }
}

X2CTPA_VECTOR_CLONES
void sum_four(const float* x, const float* w, float* out) {
  const float a = w[0], b = w[1], c = w[2], d = w[3];
  for (int64_t i = 0; i < filter_lanes; ++i)
    out[i] = a * x[i] + b * x[filter_lanes + i] + c * x[2 * filter_lanes + i] +
             d * x[3 * filter_lanes + i];
}

X2CTPA_VECTOR_CLONES
void sum_many(const float* x, const float* w, int64_t count, float* out) {
  for (int64_t i = 0; i < filter_lanes; ++i) out[i] = 0;
  for (int64_t k = 0; k < count; ++k)
    for (int64_t i = 0; i < filter_lanes; ++i) out[i] += w[k] * x[k * filter_lanes + i];
}

X2CTPA_VECTOR_CLONES
void shift_row(float* x, float shift) {
  for (int64_t i = 0; i < filter_lanes; ++i) x[i] += shift;
}

X2CTPA_VECTOR_CLONES
void round_row(float* x) {
  for (int64_t i = 0; i < filter_lanes; ++i)
    x[i] = float(int32_t(x[i] + std::copysign(0.5f, x[i])));
}

// A block's rows from lines below each other, and back, in squares that fit the vector registers.
void transposed_load(const float* in, int64_t stride, int64_t lines, int64_t n, float* block) {
  constexpr int64_t tile = 16;
  for (int64_t k0 = 0; k0 < n; k0 += tile)
    for (int64_t i0 = 0; i0 < lines; i0 += tile) {
      const int64_t k1 = std::min(k0 + tile, n), i1 = std::min(i0 + tile, lines);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t k = k0; k < k1; ++k) block[k * filter_lanes + i] = in[i * stride + k];
    }
}

void transposed_store(const float* block, int64_t lines, int64_t n, float* out, int64_t stride) {
  constexpr int64_t tile = 16;
  for (int64_t i0 = 0; i0 < lines; i0 += tile)
    for (int64_t k0 = 0; k0 < n; k0 += tile) {
      const int64_t k1 = std::min(k0 + tile, n), i1 = std::min(i0 + tile, lines);
      for (int64_t i = i0; i < i1; ++i)
        for (int64_t k = k0; k < k1; ++k) out[i * stride + k] = block[k * filter_lanes + i];
    }
}

void load_columns(const float* in, int64_t stride, int64_t lanes, int64_t n, float* block) {
  for (int64_t k = 0; k < n; ++k) std::copy_n(in + k * stride, lanes, block + k * filter_lanes);
}

// Scratch memory of one thread.
float* scratch(int slot, int64_t floats) {
  static thread_local std::array<std::vector<float>, 2> buffers;
  auto& buffer = buffers[size_t(slot)];
  // Zeros, so that lanes without a line hold numbers.
  if (int64_t(buffer.size()) < floats) buffer.assign(size_t(floats), 0);
  return buffer.data();
}

}  // namespace

void AxisFilter::add(int64_t first, const std::vector<float>& weights) {
  first_.push_back(first);
  weights_.insert(weights_.end(), weights.begin(), weights.end());
  begin_.push_back(int64_t(weights_.size()));
}

void AxisFilter::subtract(float level) {
  // The prefilter leaves a constant as it is, so the sums see it through their weights alone.
  shift_.assign(first_.size(), 0);
  for (size_t t = 0; t < first_.size(); ++t)
    for (int64_t k = begin_[t]; k < begin_[t + 1]; ++k) shift_[t] -= level * weights_[size_t(k)];
}

void AxisFilter::apply(float* block, float* out, int64_t stride, int64_t lanes) const {
  float* x = block + first_row();
  if (prefilter_ == Prefilter::mirror) prefilter_mirrored(x, n_);
  if (prefilter_ == Prefilter::nearest) prefilter_extended(x, n_);
  alignas(64) float row[filter_lanes];
  for (int64_t j = 0; j < targets(); ++j) {
    const auto t = size_t(j);
    const float* w = weights_.data() + begin_[t];
    const int64_t count = begin_[t + 1] - begin_[t];
    float* to = lanes == filter_lanes ? out + j * stride : row;
    if (count == 4)
      sum_four(x + first_[t] * filter_lanes, w, to);
    else
      sum_many(x + first_[t] * filter_lanes, w, count, to);
    if (!shift_.empty()) shift_row(to, shift_[t]);
    if (round_) round_row(to);
    if (to == row) std::copy_n(row, lanes, out + j * stride);
  }
}

CubicWeights cubic_weights_extended(double c, int64_t n) {
  c = std::clamp(c, 0.0, double(n - 1));
  const auto base = int64_t(std::floor(c));
  const double t = c - double(base), u = 1 - t;
  return {base - 1,
          4,
          {float(u * u * u / 6), float((3 * t * t * t - 6 * t * t + 4) / 6),
           float((3 * u * u * u - 6 * u * u + 4) / 6), float(t * t * t / 6)}};
}

CubicWeights cubic_weights_mirrored(double c, int64_t n) {
  const CubicWeights extended = cubic_weights_extended(c, n);
  CubicWeights inside;
  inside.first = std::max<int64_t>(extended.first, 0);
  const int64_t last = std::min<int64_t>(extended.first + 3, n - 1);
  inside.count = last - inside.first + 1;
  for (int64_t k = 0; k < 4; ++k) {
    int64_t i = extended.first + k;
    if (i < 0) i = -i;
    if (i > n - 1) i = 2 * (n - 1) - i;
    i = std::clamp(i, inside.first, last);
    inside.weights[size_t(i - inside.first)] += extended.weights[size_t(k)];
  }
  return inside;
}

void filter_columns(const AxisFilter& filter, const float* in, int64_t in_stride, int64_t lines,
                    float* out, int64_t out_stride) {
  float* block = scratch(0, filter.block_floats());
  for (int64_t i = 0; i < lines; i += filter_lanes) {
    const int64_t lanes = std::min(filter_lanes, lines - i);
    load_columns(in + i, in_stride, lanes, filter.n(), block + AxisFilter::first_row());
    filter.apply(block, out + i, out_stride, lanes);
  }
}

void filter_columns_twice(const AxisFilter& first, const AxisFilter& second, const float* in,
                          int64_t in_stride, int64_t lines, float* out, int64_t out_stride) {
  float* block = scratch(0, first.block_floats());
  float* between = scratch(1, second.block_floats());
  for (int64_t i = 0; i < lines; i += filter_lanes) {
    const int64_t lanes = std::min(filter_lanes, lines - i);
    load_columns(in + i, in_stride, lanes, first.n(), block + AxisFilter::first_row());
    first.apply(block, between + AxisFilter::first_row(), filter_lanes, filter_lanes);
    second.apply(between, out + i, out_stride, lanes);
  }
}

void filter_rows(const AxisFilter& filter, const float* in, int64_t in_stride, int64_t lines,
                 float* out, int64_t out_stride) {
  float* block = scratch(0, filter.block_floats());
  float* targets = scratch(1, filter.targets() * filter_lanes);
  for (int64_t i = 0; i < lines; i += filter_lanes) {
    const int64_t lanes = std::min(filter_lanes, lines - i);
    transposed_load(in + i * in_stride, in_stride, lanes, filter.n(),
                    block + AxisFilter::first_row());
    filter.apply(block, targets, filter_lanes, filter_lanes);
    transposed_store(targets, lanes, filter.targets(), out + i * out_stride, out_stride);
  }
}

}  // namespace x2ctpa
