#include "x2ctpa/metrics/rater_agreement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

// Cohen 1960 by hand: 20 of 50 both yes, 15 both no, 5 and 10 apart: (0.7 - 0.5) / (1 - 0.5).
TEST(CohenKappa, OfATextbookTableIsItsClosedForm) {
  std::vector<int64_t> a, b;
  const auto add = [&](int times, int64_t x, int64_t y) {
    a.insert(a.end(), times, x);
    b.insert(b.end(), times, y);
  };
  add(20, 1, 1);
  add(5, 1, 0);
  add(10, 0, 1);
  add(15, 0, 0);
  EXPECT_NEAR(cohen_kappa(a, b), 0.4, 1e-12);
  EXPECT_NEAR(cohen_kappa(a, b, true), 0.4, 1e-12) << "two categories have one distance";
  EXPECT_EQ(cohen_kappa(a, a), 1);
}

TEST(CohenKappa, WeighsFarCategoriesMoreWhenQuadratic) {
  const std::vector<int64_t> truth{1, 2, 3, 4, 5, 1, 5}, near{2, 2, 3, 4, 4, 1, 5},
      far{5, 2, 3, 4, 1, 1, 5};
  EXPECT_NEAR(cohen_kappa(truth, near), cohen_kappa(truth, far), 0.05);
  EXPECT_GT(cohen_kappa(truth, near, true), cohen_kappa(truth, far, true) + 0.5);
}

TEST(FleissKappa, OfAFullTableOfThreeReadersIsItsClosedForm) {
  // Shares 5/9 and 4/9; agreement of cases 1, 1/3, 1/3.
  const double expected = 25.0 / 81 + 16.0 / 81, observed = (1 + 1.0 / 3 + 1.0 / 3) / 3;
  EXPECT_NEAR(fleiss_kappa({{1, 1, 1}, {1, 0, 0}, {1, 0, 0}}),
              (observed - expected) / (1 - expected), 1e-12);
  EXPECT_TRUE(std::isnan(fleiss_kappa({{1, 1}, {1, 1}})));
  EXPECT_THROW(fleiss_kappa({{1, 1}, {1}}), Error);
  EXPECT_THROW(fleiss_kappa({{1}}), Error);
}

}  // namespace
}  // namespace x2ctpa
