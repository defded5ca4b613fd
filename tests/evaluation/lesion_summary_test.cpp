#include "evaluation/lesion_summary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace x2ctpa {
namespace {

// Six cases of 1 to 6 ml, the even ones central; the generated volume keeps a tenth per ml, the
// mean volume nothing.
LesionEvaluation six_cases() {
  LesionEvaluation lesions;
  for (int ml = 1; ml <= 6; ++ml) {
    LesionCase c;
    c.case_id = std::to_string(ml);
    c.ml = ml;
    c.central = ml % 2 == 0;
    LesionValues made{}, none{};
    made[lesion::preserved] = 0.1 * ml;
    made[lesion::dice] = std::nan("");
    c.truth[lesion::preserved] = 1;
    c.values[source::generated] = made;
    c.values[source::mean_volume] = none;
    lesions.cases.push_back(c);
  }
  summarise_lesions(lesions);
  return lesions;
}

TEST(LesionSummary, SizesAreThirds) {
  const LesionEvaluation lesions = six_cases();
  EXPECT_DOUBLE_EQ(lesions.small_below_ml, 3);
  EXPECT_DOUBLE_EQ(lesions.large_from_ml, 5);
  const char* expected[] = {"small", "small", "medium", "medium", "large", "large"};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(lesions.cases[i].size, expected[i]);
}

TEST(LesionSummary, GroupsHoldTheirOwnCases) {
  const LesionEvaluation lesions = six_cases();
  ASSERT_EQ(lesions.groups.size(), 6u);
  const double medians[] = {0.35, 0.15, 0.35, 0.55, 0.4, 0.3};
  const int64_t cases[] = {6, 2, 2, 2, 3, 3};
  for (size_t i = 0; i < 6; ++i) {
    const LesionGroup& group = lesions.groups[i];
    EXPECT_EQ(group.cases, cases[i]) << group.name;
    EXPECT_NEAR(group.sources[source::generated][lesion::preserved].median, medians[i], 1e-12)
        << group.name;
    EXPECT_EQ(group.truth[lesion::preserved].median, 1);
    EXPECT_EQ(group.sources[source::autoencoder][lesion::preserved].n, 0);
  }
}

TEST(LesionSummary, TestsTheGeneratedVolumeAgainstTheBaselinesThatAreThere) {
  const LesionEvaluation lesions = six_cases();
  const auto& test = lesions.tests[lesion::preserved][source::mean_volume];
  ASSERT_TRUE(test.has_value());
  EXPECT_EQ(test->wilcoxon.pairs, 6);
  EXPECT_NEAR(test->wilcoxon.p, 2.0 / 64, 1e-12) << "six pairs of one sign, exact";
  EXPECT_FALSE(lesions.tests[lesion::preserved][source::wrong_cxr].has_value());
  EXPECT_FALSE(lesions.tests[lesion::dice][source::mean_volume].has_value()) << "all are NaN";
}

TEST(LesionSummary, OfNoCaseIsEmpty) {
  LesionEvaluation lesions;
  summarise_lesions(lesions);
  EXPECT_TRUE(lesions.groups.empty());
}

}  // namespace
}  // namespace x2ctpa
