#include "models/kernels/lanes.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace x2ctpa::lanes {
namespace {

// Every width runs on every processor: without the instructions the compiler takes others.
template <class V>
class Lanes : public ::testing::Test {
 protected:
  using Array = std::array<float, V::count>;

  static Array values(float scale) {
    static std::mt19937 generator(1);
    std::normal_distribution<float> normal(0, scale);
    Array result;
    for (float& x : result) x = normal(generator);
    return result;
  }
  static Array of(typename V::Floats v) {
    Array result;
    V::store(result.data(), v);
    return result;
  }
};

using Widths = ::testing::Types<Vector<4>, Vector<8>, Vector<16>>;
TYPED_TEST_SUITE(Lanes, Widths);

TYPED_TEST(Lanes, exp_is_that_of_the_library_to_a_relative_error_of_2e_7) {
  for (int i = 0; i < 200; ++i) {
    const auto x = this->values(20);
    const auto e = this->of(TypeParam::exp(TypeParam::load(x.data())));
    for (size_t k = 0; k < x.size(); ++k) {
      if (x[k] > 87 || x[k] < -79) continue;
      const double expected = std::exp(double(x[k]));
      EXPECT_NEAR(e[k], expected, 2e-7 * expected) << x[k];
    }
  }
}

TYPED_TEST(Lanes, exp_of_less_than_minus_80_is_zero) {
  for (const float x : {-81.f, -1e30f, std::numeric_limits<float>::lowest()}) {
    for (const float e : this->of(TypeParam::exp(typename TypeParam::Floats{} + x)))
      EXPECT_EQ(e, 0) << x;
  }
}

TYPED_TEST(Lanes, sum_and_largest_are_over_all_lanes) {
  for (int i = 0; i < 50; ++i) {
    const auto x = this->values(1);
    const auto v = TypeParam::load(x.data());
    double sum = 0;
    float most = x[0];
    for (const float value : x) sum += value, most = std::max(most, value);
    EXPECT_NEAR(TypeParam::sum(v), sum, 1e-5);
    EXPECT_EQ(TypeParam::largest(v), most);
  }
}

TYPED_TEST(Lanes, neighbours_are_swapped_in_pairs) {
  const auto x = this->values(1),
             y = this->of(TypeParam::swap_neighbours(TypeParam::load(x.data())));
  for (size_t k = 0; k < x.size(); ++k) EXPECT_EQ(y[k], x[k ^ 1]);
}

TYPED_TEST(Lanes, bfloat16_is_rounded_as_libtorch_rounds) {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  std::vector<float> cases{0,       -0.f,     1,         1.00390625f, 1.01171875f,
                           3.4e38f, infinite, -infinite, NAN,         1e-40f};
  while (cases.size() % TypeParam::count != 0) cases.push_back(cases.back());
  for (int i = 0; i < 50; ++i) {
    const auto x = this->values(3);
    cases.insert(cases.end(), x.begin(), x.end());
  }
  for (size_t i = 0; i < cases.size(); i += TypeParam::count) {
    std::array<c10::BFloat16, TypeParam::count> halves;
    TypeParam::store(halves.data(), TypeParam::load(&cases[i]));
    const auto back = this->of(TypeParam::load(halves.data()));
    for (size_t k = 0; k < halves.size(); ++k) {
      const c10::BFloat16 expected(cases[i + k]);
      EXPECT_EQ(halves[k].x, expected.x) << cases[i + k];
      if (!std::isnan(cases[i + k])) {
        EXPECT_EQ(back[k], float(expected));
      }
    }
  }
}

TYPED_TEST(Lanes, product_is_that_of_four_rows_and_a_tile_of_columns) {
  constexpr int64_t terms = 7;
  std::vector<float> a(rows_at_once * terms), b(terms * tile), result(rows_at_once * tile);
  for (size_t i = 0; i < a.size(); ++i) a[i] = float(i % 5) - 2;
  for (size_t i = 0; i < b.size(); ++i) b[i] = float(i % 11) - 5;
  TypeParam::product(a.data(), terms, 1, b.data(), tile, terms, result.data(), tile);
  for (int64_t r = 0; r < rows_at_once; ++r) {
    for (int64_t c = 0; c < tile; ++c) {
      float expected = 0;
      for (int64_t t = 0; t < terms; ++t)
        expected += a[size_t(r * terms + t)] * b[size_t(t * tile + c)];
      EXPECT_EQ(result[size_t(r * tile + c)], expected) << r << " " << c;
    }
  }
}

TEST(LanesProcessor, AKernelRunsWithTheWidthOfTheProcessor) {
  int64_t width = 0;
  for_this_processor([&](auto vector)
                         __attribute__((always_inline)) { width = decltype(vector)::count; });
  const auto here = processor();
  EXPECT_EQ(width, here == Processor::avx512 ? 16 : here == Processor::avx2 ? 8 : 4);
}

}  // namespace
}  // namespace x2ctpa::lanes
