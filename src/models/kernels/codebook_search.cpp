#include "models/kernels/codebook_search.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "models/kernels/lanes.h"

namespace x2ctpa {
namespace {

constexpr int64_t rows_at_once = 4;
constexpr int64_t group = 16;  // codes side by side in memory, a multiple of any vector
constexpr int64_t chunk = 64;  // rows that share a visit of the codes
constexpr int64_t cached_floats = 8 * 1024;  // of the codes, so that they stay in the first cache

// |z - e|^2 = |z|^2 - 2 z.e + |e|^2, of which |z|^2 does not change the winner.
struct Codes {
  explicit Codes(const at::Tensor& codes)
      : width(codes.size(1)), padded((codes.size(0) + group - 1) / group * group) {
    const int64_t count = codes.size(0);
    norms.assign(size_t(padded), std::numeric_limits<float>::infinity());
    doubled.assign(size_t(padded * width), 0.f);
    const float* e = codes.const_data_ptr<float>();
    const auto squares = codes.square().sum(1);
    std::copy_n(squares.const_data_ptr<float>(), count, norms.begin());
    for (int64_t i = 0; i < count; ++i) {
      float* to = &doubled[size_t(i / group * group * width + i % group)];
      for (int64_t c = 0; c < width; ++c) to[c * group] = -2 * e[i * width + c];
    }
  }
  int64_t width, padded;
  std::vector<float> norms;    // (padded): |e|^2
  std::vector<float> doubled;  // (padded / group, width, group): -2 e
};

// The nearest codes so far of a chunk's rows, each place of a group by itself.
struct Best {
  std::array<float, chunk * group> distance;
  std::array<int32_t, chunk * group> first;  // of the code's group
};

// Holds codes [first, last) against `rows_at_once` rows, which are `step` floats apart.
template <class V>
X2CTPA_INLINE void visit(const Codes& codes, int64_t first, int64_t last, const float* rows,
                         int64_t step, float* distance, int32_t* winner) {
  // Enough sums that the additions of one need not wait for each other, few enough for registers.
  constexpr int64_t vectors = std::min<int64_t>(group / V::count, 2);
  for (int64_t part = 0; part < group; part += vectors * V::count) {
    typename V::Floats nearest[rows_at_once][vectors];
    typename V::Ints where[rows_at_once][vectors];
    for (int64_t r = 0; r < rows_at_once; ++r) {
      std::memcpy(nearest[r], distance + r * group + part, sizeof nearest[r]);
      std::memcpy(where[r], winner + r * group + part, sizeof where[r]);
    }
    for (int64_t i = first; i < last; i += group) {
      const float* e = codes.doubled.data() + i * codes.width + part;
      typename V::Floats sums[rows_at_once][vectors];
      for (auto& sum : sums) {
        for (int64_t v = 0; v < vectors; ++v)
          sum[v] = V::load(codes.norms.data() + i + part + v * V::count);
      }
      for (int64_t c = 0; c < codes.width; ++c) {
        for (int64_t v = 0; v < vectors; ++v) {
          const auto values = V::load(e + c * group + v * V::count);
          for (int64_t r = 0; r < rows_at_once; ++r) sums[r][v] += rows[r * step + c] * values;
        }
      }
      for (int64_t r = 0; r < rows_at_once; ++r) {
        for (int64_t v = 0; v < vectors; ++v) {
          const auto nearer = sums[r][v] < nearest[r][v];
          nearest[r][v] = nearer ? sums[r][v] : nearest[r][v];
          where[r][v] = nearer ? typename V::Ints{} + int32_t(i) : where[r][v];
        }
      }
    }
    for (int64_t r = 0; r < rows_at_once; ++r) {
      std::memcpy(distance + r * group + part, nearest[r], sizeof nearest[r]);
      std::memcpy(winner + r * group + part, where[r], sizeof where[r]);
    }
  }
}

// `rows` holds `count` rows of `codes.width` floats, and room for a multiple of rows_at_once.
template <class V>
X2CTPA_INLINE void search_chunk(const Codes& codes, const float* rows, int64_t count, Best& best,
                                int64_t* result) {
  best.distance.fill(std::numeric_limits<float>::infinity());
  best.first.fill(0);
  const int64_t block = std::max(group, cached_floats / codes.width / group * group);
  for (int64_t first = 0; first < codes.padded; first += block) {
    const int64_t last = std::min(first + block, codes.padded);
    for (int64_t r = 0; r < count; r += rows_at_once) {
      visit<V>(codes, first, last, rows + r * codes.width, codes.width,
               &best.distance[size_t(r * group)], &best.first[size_t(r * group)]);
    }
  }
  for (int64_t r = 0; r < count; ++r) {
    float least = std::numeric_limits<float>::infinity();
    int64_t winner = 0;
    for (int64_t i = 0; i < group; ++i) {
      const float distance = best.distance[size_t(r * group + i)];
      const int64_t candidate = best.first[size_t(r * group + i)] + i;
      if (distance < least || (distance == least && candidate < winner))
        least = distance, winner = candidate;
    }
    result[r] = winner;
  }
}

}  // namespace

at::Tensor search_codes(const at::Tensor& rows, const at::Tensor& codes) {
  const Codes prepared(codes);
  const int64_t n = rows.size(0), width = rows.size(1);
  auto result = at::empty({n}, at::kLong);
  const float* data = rows.const_data_ptr<float>();
  int64_t* out = result.mutable_data_ptr<int64_t>();
  at::parallel_for(0, (n + chunk - 1) / chunk, 1, [&](int64_t from, int64_t to) {
    Best best;
    std::vector<float> own(size_t(chunk * width));  // whole groups of rows, also at the end
    for (int64_t i = from; i < to; ++i) {
      const int64_t first = i * chunk, count = std::min(chunk, n - first);
      std::copy_n(data + first * width, count * width, own.begin());
      lanes::for_this_processor([&](auto vector) __attribute__((always_inline)) {
        search_chunk<decltype(vector)>(prepared, own.data(), count, best, out + first);
      });
    }
  });
  return result;
}

}  // namespace x2ctpa
