#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "models/kernels/lanes.h"
#include "models/kernels/linear_map.h"
#include "models/kernels/unet3d_attention.h"

namespace x2ctpa::unet3d {
namespace {

using lanes::tile;

static_assert(head_dim == tile);
constexpr int64_t pixels_at_once = 64;  // their q, k and v stay in the cache

struct LinearScratch {
  LinearScratch(int64_t hidden)
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

// softmax over the channels of each head, times `scale`.
template <class V, class T>
X2CTPA_INLINE void soften(T* q, int64_t hidden, float scale) {
  constexpr int64_t parts = tile / V::count;
  for (int64_t c = 0; c < hidden; c += tile) {
    typename V::Floats x[parts];
    for (int64_t i = 0; i < parts; ++i) x[i] = V::load(q + c + i * V::count);
    auto most = x[0];
    for (int64_t i = 1; i < parts; ++i) most = V::greater(most, x[i]);
    const float top = V::largest(most);
    typename V::Floats total{};
    for (auto& value : x) total += value = V::exp(value - top);
    const float share = scale / V::sum(total);
    for (int64_t i = 0; i < parts; ++i) V::store(q + c + i * V::count, x[i] * share);
  }
}

// s.keys = e^(k - top) with the top of all pixels so far, by which the sums shrink.
template <class V, class T>
X2CTPA_INLINE void take_keys(const T* k, int64_t row, int64_t pixels, int64_t hidden,
                             LinearScratch& s) {
  for (int64_t c = 0; c < hidden; c += V::count) {
    auto top = V::load(&s.top[c]);
    const auto before = top;
    for (int64_t i = 0; i < pixels; ++i) top = V::greater(top, V::load(k + i * row + c));
    const auto shrink = V::exp(before - top);
    auto sums = V::load(&s.sums[c]) * shrink;
    for (int64_t i = 0; i < pixels; ++i) {
      const auto e = V::exp(V::load(k + i * row + c) - top);
      sums += e;
      V::store(&s.keys[i * hidden + c], e);
    }
    V::store(&s.top[c], top);
    V::store(&s.shrink[c], shrink);
    V::store(&s.sums[c], sums);
  }
}

// One slice. `context` (heads, tile, tile), `stride` apart.
template <class V, class T>
X2CTPA_INLINE void run_slice(T* qkv, int64_t pixels, int64_t hidden, float* context, int64_t stride,
                             LinearScratch& s) {
  const int64_t row = 3 * hidden;
  const float scale = 1.f / std::sqrt(float(head_dim));
  std::fill(s.top.begin(), s.top.end(), std::numeric_limits<float>::lowest());
  std::fill(s.sums.begin(), s.sums.end(), 0.f);
  std::fill(s.context.begin(), s.context.end(), 0.f);
  float block[lanes::rows_at_once * tile];
  for (int64_t first = 0; first < pixels; first += pixels_at_once) {
    const int64_t n = std::min(pixels_at_once, pixels - first);
    T* q = qkv + first * row;
    for (int64_t i = 0; i < n; ++i) {
      soften<V>(q + i * row, hidden, scale);
      for (int64_t c = 0; c < hidden; c += V::count) {
        V::store(&s.values[i * hidden + c], V::load(q + i * row + 2 * hidden + c));
      }
    }
    take_keys<V>(q + hidden, row, n, hidden, s);
    for (int64_t c = 0; c < hidden; c += lanes::rows_at_once) {
      V::product(&s.keys[c], 1, hidden, &s.values[c / tile * tile], hidden, n, block, tile);
      for (int64_t r = 0; r < lanes::rows_at_once; ++r) {
        for (int64_t e = 0; e < tile; e += V::count) {
          float* sum = &s.context[(c + r) * tile + e];
          V::store(sum, V::load(sum) * s.shrink[c + r] + V::load(block + r * tile + e));
        }
      }
    }
  }
  for (int64_t c = 0; c < hidden; ++c) {
    float* to = context + c / tile * stride + c % tile * tile;
    for (int64_t e = 0; e < tile; ++e) to[e] = s.context[c * tile + e] / s.sums[c];
  }
}

template <class T>
void run_slices(at::Tensor& qkv, at::Tensor& context) {
  const int64_t slices = qkv.size(0), pixels = qkv.size(1), hidden = qkv.size(3) * tile;
  T* data = qkv.mutable_data_ptr<T>();
  float* out = context.mutable_data_ptr<float>();
  at::parallel_for(0, slices, 1, [&](int64_t first, int64_t last) {
    LinearScratch scratch(hidden);
    for (int64_t i = first; i < last; ++i) {
      lanes::for_this_processor([&](auto vector) __attribute__((always_inline)) {
        run_slice<decltype(vector)>(data + i * pixels * 3 * hidden, pixels, hidden,
                                    out + i * tile * tile, context.stride(0), scratch);
      });
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
