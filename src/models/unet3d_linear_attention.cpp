#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lanes.h"
#include "unet3d_attention.h"
#include "unet3d_blocks.h"

namespace x2ctpa::unet3d {
namespace {

using lanes::Lanes;
using lanes::load;
using lanes::store;
using lanes::tile;

static_assert(head_dim == tile);
constexpr int64_t pixels_at_once = 64;  // their q, k and v stay in the cache

struct Scratch {
  Scratch(int64_t hidden)
      : top(hidden),
        sums(hidden),
        shrink(hidden),
        keys(pixels_at_once * hidden),
        values(keys),
        context(hidden * tile) {}
  std::vector<float> top, sums, shrink;  // of each channel of k, over the pixels so far
  std::vector<float> keys, values;       // (pixels, hidden): e^(k - top), and v
  std::vector<float> context;            // (hidden, tile), to be divided by sums
};

/// softmax over the channels of each head, times `scale`.
template <class T>
X2CTPA_INLINE void soften(T* q, int64_t hidden, float scale) {
  for (int64_t c = 0; c < hidden; c += tile) {
    const Lanes a = load(q + c), b = load(q + c + lanes::count);
    const float most = lanes::largest(lanes::greater(a, b));
    const Lanes ea = lanes::exp(a - most), eb = lanes::exp(b - most);
    const float share = scale / lanes::sum(ea + eb);
    store(q + c, ea * share);
    store(q + c + lanes::count, eb * share);
  }
}

/// s.keys = e^(k - top) with the top of all pixels so far, by which the sums shrink.
template <class T>
X2CTPA_INLINE void take_keys(const T* k, int64_t row, int64_t pixels, int64_t hidden, Scratch& s) {
  for (int64_t c = 0; c < hidden; c += lanes::count) {
    Lanes top = load(&s.top[c]);
    const Lanes before = top;
    for (int64_t i = 0; i < pixels; ++i) top = lanes::greater(top, load(k + i * row + c));
    const Lanes shrink = lanes::exp(before - top);
    Lanes sums = load(&s.sums[c]) * shrink;
    for (int64_t i = 0; i < pixels; ++i) {
      const Lanes e = lanes::exp(load(k + i * row + c) - top);
      sums += e;
      store(&s.keys[i * hidden + c], e);
    }
    store(&s.top[c], top);
    store(&s.shrink[c], shrink);
    store(&s.sums[c], sums);
  }
}

/// One slice. `context` (heads, tile, tile), `stride` apart.
template <class T>
X2CTPA_INLINE void run_slice(T* qkv, int64_t pixels, int64_t hidden, float* context, int64_t stride,
                             Scratch& s) {
  const int64_t row = 3 * hidden;
  const float scale = 1.f / std::sqrt(static_cast<float>(head_dim));
  std::fill(s.top.begin(), s.top.end(), std::numeric_limits<float>::lowest());
  std::fill(s.sums.begin(), s.sums.end(), 0.f);
  std::fill(s.context.begin(), s.context.end(), 0.f);
  float block[lanes::rows_at_once * tile];
  for (int64_t first = 0; first < pixels; first += pixels_at_once) {
    const int64_t n = std::min(pixels_at_once, pixels - first);
    T* q = qkv + first * row;
    for (int64_t i = 0; i < n; ++i) {
      soften(q + i * row, hidden, scale);
      for (int64_t c = 0; c < hidden; c += lanes::count) {
        store(&s.values[i * hidden + c], load(q + i * row + 2 * hidden + c));
      }
    }
    take_keys(q + hidden, row, n, hidden, s);
    for (int64_t c = 0; c < hidden; c += lanes::rows_at_once) {
      lanes::product(&s.keys[c], 1, hidden, &s.values[c / tile * tile], hidden, n, block, tile);
      for (int64_t r = 0; r < lanes::rows_at_once; ++r) {
        for (int64_t e = 0; e < tile; e += lanes::count) {
          float* sum = &s.context[(c + r) * tile + e];
          store(sum, load(sum) * s.shrink[c + r] + load(block + r * tile + e));
        }
      }
    }
  }
  for (int64_t c = 0; c < hidden; ++c) {
    float* to = context + c / tile * stride + c % tile * tile;
    for (int64_t e = 0; e < tile; ++e) to[e] = s.context[c * tile + e] / s.sums[c];
  }
}

// One version of each for every instruction set; templates cannot be cloned.
X2CTPA_LANES_CLONES void slice_context(float* qkv, int64_t pixels, int64_t hidden, float* context,
                                       int64_t stride, Scratch& s) {
  run_slice(qkv, pixels, hidden, context, stride, s);
}
X2CTPA_LANES_CLONES void slice_context(c10::BFloat16* qkv, int64_t pixels, int64_t hidden,
                                       float* context, int64_t stride, Scratch& s) {
  run_slice(qkv, pixels, hidden, context, stride, s);
}

template <class T>
void run_slices(at::Tensor& qkv, at::Tensor& context) {
  const int64_t slices = qkv.size(0), pixels = qkv.size(1), hidden = qkv.size(3) * tile;
  T* data = qkv.mutable_data_ptr<T>();
  float* out = context.mutable_data_ptr<float>();
  at::parallel_for(0, slices, 1, [&](int64_t first, int64_t last) {
    Scratch scratch(hidden);
    for (int64_t i = first; i < last; ++i) {
      slice_context(data + i * pixels * 3 * hidden, pixels, hidden, out + i * tile * tile,
                    context.stride(0), scratch);
    }
  });
}

}  // namespace

at::Tensor linear_attention_context_(at::Tensor& qkv) {
  auto context = at::empty({qkv.size(3), qkv.size(0), tile, tile}, at::kFloat);
  qkv.scalar_type() == at::kFloat ? run_slices<float>(qkv, context)
                                  : run_slices<c10::BFloat16>(qkv, context);
  return context.to(qkv.scalar_type());
}

}  // namespace x2ctpa::unet3d
