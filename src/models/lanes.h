// Sixteen floats at a time, in the compiler's vector extension: one AVX-512 register, two of AVX,
// four of SSE. X2CTPA_LANES_CLONES compiles a function once for each and picks at load time; not
// under the sanitizers, which cannot run yet when that happens.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define X2CTPA_LANES_CLONES __attribute__((target_clones("avx512f", "fma", "default")))
#else
#define X2CTPA_LANES_CLONES
#endif
#define X2CTPA_INLINE inline __attribute__((always_inline))

#pragma GCC diagnostic ignored "-Wpsabi"  // everything here is inlined

namespace x2ctpa::lanes {

constexpr int64_t count = 16;
constexpr int64_t tile = 2 * count;  ///< columns of product()
constexpr int64_t rows_at_once = 4;  ///< its rows

using Lanes = float __attribute__((vector_size(64)));
using Ints = int32_t __attribute__((vector_size(64)));

X2CTPA_INLINE Lanes load(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

X2CTPA_INLINE void store(float* p, Lanes v) { std::memcpy(p, &v, sizeof v); }

X2CTPA_INLINE Lanes load(const c10::BFloat16* p) {
  Lanes v;
  for (int i = 0; i < count; ++i) {
    const uint32_t bits = static_cast<uint32_t>(p[i].x) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    v[i] = value;
  }
  return v;
}

X2CTPA_INLINE void store(c10::BFloat16* p, Lanes v) {
  for (int i = 0; i < count; ++i) p[i] = c10::BFloat16(v[i]);
}

X2CTPA_INLINE Lanes greater(Lanes a, Lanes b) { return a > b ? a : b; }

/// e^x for x up to 88, relative error about 1e-7; 0 below -80. The polynomial is that of Cephes
/// (S. Moshier) on [-ln 2 / 2, ln 2 / 2].
X2CTPA_INLINE Lanes exp(Lanes x) {
  constexpr float round = 12582912.f;  // 1.5 * 2^23: adding it leaves the nearest integer
  const Lanes shifted = x * 1.44269504f + round;
  const Lanes n = shifted - round;
  const Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.f;
  // The low bits of `shifted` are n: into the exponent.
  const Ints scaled = reinterpret_cast<Ints>(p) + (reinterpret_cast<Ints>(shifted) << 23);
  return x < -80.f ? Lanes{} : reinterpret_cast<Lanes>(scaled);
}

X2CTPA_INLINE float sum(Lanes v) {
  float total = 0;
  for (int i = 0; i < count; ++i) total += v[i];
  return total;
}

X2CTPA_INLINE float largest(Lanes v) {
  float most = v[0];
  for (int i = 1; i < count; ++i) most = v[i] > most ? v[i] : most;
  return most;
}

/// result[r][c] = sum over t of a[r * row + t * step] * b[t * b_row + c] for 4 rows and 32 columns.
X2CTPA_INLINE void product(const float* a, int64_t row, int64_t step, const float* b, int64_t b_row,
                           int64_t terms, float* result, int64_t result_row) {
  Lanes sums[rows_at_once][2] = {};
  for (int64_t t = 0; t < terms; ++t) {
    const Lanes left = load(b + t * b_row), right = load(b + t * b_row + count);
    for (int64_t r = 0; r < rows_at_once; ++r) {
      const float factor = a[r * row + t * step];
      sums[r][0] += factor * left;
      sums[r][1] += factor * right;
    }
  }
  for (int64_t r = 0; r < rows_at_once; ++r) {
    store(result + r * result_row, sums[r][0]);
    store(result + r * result_row + count, sums[r][1]);
  }
}

}  // namespace x2ctpa::lanes
