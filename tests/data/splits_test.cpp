#include "x2ctpa/data/splits.h"

#include "data/synthetic_study.h"

namespace x2ctpa {
namespace {

using test::error_of;

/// `patients` patients with two cases each; every third one is positive.
std::vector<Case> cohort(int patients) {
  std::vector<Case> cases;
  for (int p = 0; p < patients; ++p) {
    for (int study = 0; study < 2; ++study) {
      cases.push_back({fmt::format("c{}-{}", p, study), fmt::format("p{}", p), "",
                       p % 3 == 0 && study == 1, "ct", "cxr"});
    }
  }
  return cases;
}

int64_t count(const std::vector<Case>& cases, const std::string& split, int pe) {
  return std::count_if(cases.begin(), cases.end(),
                       [&](const Case& c) { return c.split == split && c.pe == pe; });
}

TEST(Splits, PatientsStayWhole) {
  auto cases = cohort(50);
  assign_splits(cases, {0.6, 0.2, 0.2}, 1);
  EXPECT_NO_THROW(check_no_leakage(cases));
  for (const Case& c : cases) EXPECT_FALSE(c.split.empty());
}

TEST(Splits, EveryStratumKeepsTheFractions) {
  auto cases = cohort(90);  // 30 positive patients with one positive case each
  assign_splits(cases, {0.7, 0.1, 0.2}, 3);
  EXPECT_NEAR(count(cases, "train", 1), 21, 1);
  EXPECT_NEAR(count(cases, "val", 1), 3, 1);
  EXPECT_NEAR(count(cases, "test", 1), 6, 1);
  EXPECT_NEAR(count(cases, "train", 0), 150 * 0.7, 3);
}

TEST(Splits, DependOnTheSeedAndNotOnTheOrderOfCases) {
  auto a = cohort(40), b = cohort(40), c = cohort(40);
  std::reverse(b.begin(), b.end());
  assign_splits(a, {0.7, 0.1, 0.2}, 5);
  assign_splits(b, {0.7, 0.1, 0.2}, 5);
  assign_splits(c, {0.7, 0.1, 0.2}, 6);
  std::reverse(b.begin(), b.end());
  bool differs = false;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].split, b[i].split);
    differs = differs || a[i].split != c[i].split;
  }
  EXPECT_TRUE(differs);
}

TEST(Splits, AGivenSplitIsKeptAndFollowedByThePatientsOtherCases) {
  auto cases = cohort(10);
  cases[0].split = "test";
  assign_splits(cases, {1, 0, 0}, 0);
  EXPECT_EQ(cases[0].split, "test");
  EXPECT_EQ(cases[1].split, "test");
  EXPECT_EQ(cases[2].split, "train");
}

TEST(Splits, APatientGivenTwoSplitsIsLeakage) {
  auto cases = cohort(3);
  cases[0].split = "test";
  cases[1].split = "train";
  EXPECT_CONTAINS(error_of([&] {
                    assign_splits(cases, {1, 1, 1}, 0);
                  }),
                  "patient p0 is in two splits");
}

TEST(Splits, ASplitOfShareZeroStaysEmpty) {
  auto cases = cohort(30);
  assign_splits(cases, {0.5, 0, 0.5}, 2);
  EXPECT_EQ(count(cases, "val", 0) + count(cases, "val", 1), 0);
  EXPECT_CONTAINS(error_of([&] { assign_splits(cases, {0, 0, 0}, 2); }), "fractions");
}

}  // namespace
}  // namespace x2ctpa
