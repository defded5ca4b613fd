#include "codebook_search.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "lanes.h"

namespace x2ctpa {
namespace {

using lanes::Ints;
using lanes::Lanes;
using lanes::load;
using lanes::store;

constexpr int64_t rows_at_once = 4;
constexpr int64_t chunk = 64;               // rows that share a visit of the codes
constexpr int64_t cached_floats = 8 * 1024;  // of the codes, so that they stay in the first cache

/// |z - e|^2 = |z|^2 - 2 z.e + |e|^2, of which |z|^2 does not change the winner.
struct Codes {
  explicit Codes(const at::Tensor& codes)
      : width(codes.size(1)), padded((codes.size(0) + lanes::count - 1) / lanes::count * lanes::count) {
    const int64_t count = codes.size(0);
    norms.assign(size_t(padded), std::numeric_limits<float>::infinity());
    doubled.assign(size_t(padded * width), 0.f);
    const float* e = codes.const_data_ptr<float>();
    const auto squares = codes.square().sum(1);
    std::copy_n(squares.const_data_ptr<float>(), count, norms.begin());
    for (int64_t i = 0; i < count; ++i) {
      float* to = &doubled[size_t(i / lanes::count * lanes::count * width + i % lanes::count)];
      for (int64_t c = 0; c < width; ++c) to[c * lanes::count] = -2 * e[i * width + c];
    }
  }
  int64_t width, padded;
  std::vector<float> norms;    // (padded): |e|^2
  std::vector<float> doubled;  // (padded / 16, width, 16): -2 e
};

struct Best {
  std::array<Lanes, chunk> distance;
  std::array<Ints, chunk> code;  // of each lane
};

/// Holds codes [first, last) against `rows_at_once` rows, which are `step` floats apart.
X2CTPA_INLINE void visit(const Codes& codes, int64_t first, int64_t last, const float* rows, int64_t step, Lanes* distance, Ints* code) {
  Lanes nearest[rows_at_once];
  Ints where[rows_at_once];
  for (int64_t r = 0; r < rows_at_once; ++r) nearest[r] = distance[r], where[r] = code[r];
  for (int64_t i = first; i < last; i += lanes::count) {
    const float* e = codes.doubled.data() + i * codes.width;
    Lanes sums[rows_at_once];
    for (auto& sum : sums) sum = load(codes.norms.data() + i);
    for (int64_t c = 0; c < codes.width; ++c) {
      const Lanes code_values = load(e + c * lanes::count);
      for (int64_t r = 0; r < rows_at_once; ++r) sums[r] += rows[r * step + c] * code_values;
    }
    for (int64_t r = 0; r < rows_at_once; ++r) {
      const auto nearer = sums[r] < nearest[r];
      nearest[r] = nearer ? sums[r] : nearest[r];
      where[r] = nearer ? Ints{} + static_cast<int32_t>(i) : where[r];
    }
  }
  for (int64_t r = 0; r < rows_at_once; ++r) distance[r] = nearest[r], code[r] = where[r];
}

/// `rows` holds `count` rows of `codes.width` floats, and room for a multiple of rows_at_once.
X2CTPA_LANES_CLONES void search_chunk(const Codes& codes, const float* rows, int64_t count, Best& best, int64_t* result) {
  for (int64_t r = 0; r < chunk; ++r) {
    best.distance[size_t(r)] = Lanes{} + std::numeric_limits<float>::infinity();
    best.code[size_t(r)] = Ints{};
  }
  const int64_t block = std::max(lanes::count, cached_floats / codes.width / lanes::count * lanes::count);
  for (int64_t first = 0; first < codes.padded; first += block) {
    const int64_t last = std::min(first + block, codes.padded);
    for (int64_t r = 0; r < count; r += rows_at_once) {
      visit(codes, first, last, rows + r * codes.width, codes.width, &best.distance[size_t(r)], &best.code[size_t(r)]);
    }
  }
  for (int64_t r = 0; r < count; ++r) {
    const Lanes& distance = best.distance[size_t(r)];
    const Ints& code = best.code[size_t(r)];
    float least = std::numeric_limits<float>::infinity();
    int64_t winner = 0;
    for (int lane = 0; lane < lanes::count; ++lane) {
      const int64_t candidate = code[lane] + lane;
      if (distance[lane] < least || (distance[lane] == least && candidate < winner)) least = distance[lane], winner = candidate;
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
      search_chunk(prepared, own.data(), count, best, out + first);
    }
  });
  return result;
}

}  // namespace x2ctpa
