// Vectors of as many floats as a register of the processor holds: 16 with AVX-512, 8 with AVX2, 4
// elsewhere. A kernel is written once for any Vector<n>, compiled for each, and run by
// for_this_processor(). Wider vectors than the registers would do as well, but GCC keeps such ones
// in memory, which costs an order of magnitude. std::experimental::simd and LibTorch's at::vec take
// their width from the compiler's flags, where this one program must run on every processor.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

#define X2CTPA_INLINE inline __attribute__((always_inline))

namespace x2ctpa::lanes {

constexpr int64_t tile = 32;         ///< columns of product(), a multiple of any vector
constexpr int64_t rows_at_once = 4;  ///< its rows

// GCC takes the attribute for a number of bytes alone, not for one that depends on a parameter.
template <int64_t n>
struct Types;
template <>
struct Types<4> {
  typedef float Floats __attribute__((vector_size(16)));
  typedef int32_t Ints __attribute__((vector_size(16)));
  typedef uint32_t Bits __attribute__((vector_size(16)));
  typedef uint64_t Pairs __attribute__((vector_size(16)));
  typedef uint16_t Halves __attribute__((vector_size(8)));
};
template <>
struct Types<8> {
  typedef float Floats __attribute__((vector_size(32)));
  typedef int32_t Ints __attribute__((vector_size(32)));
  typedef uint32_t Bits __attribute__((vector_size(32)));
  typedef uint64_t Pairs __attribute__((vector_size(32)));
  typedef uint16_t Halves __attribute__((vector_size(16)));
};
template <>
struct Types<16> {
  typedef float Floats __attribute__((vector_size(64)));
  typedef int32_t Ints __attribute__((vector_size(64)));
  typedef uint32_t Bits __attribute__((vector_size(64)));
  typedef uint64_t Pairs __attribute__((vector_size(64)));
  typedef uint16_t Halves __attribute__((vector_size(32)));
};

template <int64_t n>
struct Vector {
  static constexpr int64_t count = n;
  using Floats = typename Types<n>::Floats;
  using Ints = typename Types<n>::Ints;
  using Bits = typename Types<n>::Bits;      ///< of the floats
  using Pairs = typename Types<n>::Pairs;    ///< of two floats
  using Halves = typename Types<n>::Halves;  ///< bfloat16

  static X2CTPA_INLINE Floats load(const float* p) {
    Floats v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }

  static X2CTPA_INLINE void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

  static X2CTPA_INLINE Floats load(const c10::BFloat16* p) {
    Halves halves;
    std::memcpy(&halves, p, sizeof halves);
    return reinterpret_cast<Floats>(__builtin_convertvector(halves, Bits) << 16);
  }

  /// Rounds to the nearest, halves to even.
  static X2CTPA_INLINE void store(c10::BFloat16* p, Floats v) {
    const Bits bits = reinterpret_cast<Bits>(v);
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits kept = v == v ? rounded : Bits{} + 0x7fc0u;
    const Halves halves = __builtin_convertvector(kept, Halves);
    std::memcpy(p, &halves, sizeof halves);
  }

  static X2CTPA_INLINE Floats greater(Floats a, Floats b) { return a > b ? a : b; }

  /// x1, x0, x3, x2, ...
  static X2CTPA_INLINE Floats swap_neighbours(Floats x) {
    const Pairs pairs = reinterpret_cast<Pairs>(x);
    return reinterpret_cast<Floats>(pairs << 32 | pairs >> 32);
  }

  /// e^x for x up to 88, relative error about 1e-7; 0 below -80. The polynomial is that of Cephes
  /// (S. Moshier) on [-ln 2 / 2, ln 2 / 2].
  static X2CTPA_INLINE Floats exp(Floats x) {
    constexpr float round = 12582912.f;  // 1.5 * 2^23: adding it leaves the nearest integer
    const Floats shifted = x * 1.44269504f + round;
    const Floats whole = shifted - round;
    const Floats r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.f;
    // The low bits of `shifted` are the whole number: into the exponent.
    const Bits scaled = reinterpret_cast<Bits>(p) + (reinterpret_cast<Bits>(shifted) << 23);
    return x < -80.f ? Floats{} : reinterpret_cast<Floats>(scaled);
  }

  static X2CTPA_INLINE float sum(Floats v) {
    if constexpr (n == 4) {
      return (v[0] + v[2]) + (v[1] + v[3]);
    } else {
      using Half = Vector<n / 2>;
      typename Half::Floats parts[2];
      std::memcpy(parts, &v, sizeof v);
      return Half::sum(parts[0] + parts[1]);
    }
  }

  static X2CTPA_INLINE float largest(Floats v) {
    if constexpr (n == 4) {
      const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
      return a > b ? a : b;
    } else {
      using Half = Vector<n / 2>;
      typename Half::Floats parts[2];
      std::memcpy(parts, &v, sizeof v);
      return Half::largest(Half::greater(parts[0], parts[1]));
    }
  }

  /// result[r][c] = sum over t of a[r * row + t * step] * b[t * b_row + c] for 4 rows and 32
  /// columns.
  static X2CTPA_INLINE void product(const float* a, int64_t row, int64_t step, const float* b,
                                    int64_t b_row, int64_t terms, float* result,
                                    int64_t result_row) {
    for (int64_t c = 0; c < tile; c += 2 * n) {
      Floats sums[rows_at_once][2] = {};
      for (int64_t t = 0; t < terms; ++t) {
        const Floats left = load(b + t * b_row + c), right = load(b + t * b_row + c + n);
        for (int64_t r = 0; r < rows_at_once; ++r) {
          const float factor = a[r * row + t * step];
          sums[r][0] += factor * left;
          sums[r][1] += factor * right;
        }
      }
      for (int64_t r = 0; r < rows_at_once; ++r) {
        store(result + r * result_row + c, sums[r][0]);
        store(result + r * result_row + c + n, sums[r][1]);
      }
    }
  }
};

enum class Processor { other, avx2, avx512 };

/// What LibTorch takes this processor for; ATEN_CPU_CAPABILITY=avx2 or default in the environment
/// asks both for less.
Processor processor();

// A lambda that is always inlined is compiled for what the function around it is.
#ifdef __x86_64__
template <class Kernel>
__attribute__((target("avx512f"))) void run_avx512(const Kernel& kernel) {
  kernel(Vector<16>());
}
template <class Kernel>
__attribute__((target("avx2,fma"))) void run_avx2(const Kernel& kernel) {
  kernel(Vector<8>());
}
#endif

/// Calls kernel(Vector<n>()), compiled for this processor; the lambda and all that it calls must be
/// always_inline.
template <class Kernel>
void for_this_processor(const Kernel& kernel) {
#ifdef __x86_64__
  const Processor here = processor();
  if (here == Processor::avx512) return run_avx512(kernel);
  if (here == Processor::avx2) return run_avx2(kernel);
#endif
  kernel(Vector<4>());
}

}  // namespace x2ctpa::lanes
