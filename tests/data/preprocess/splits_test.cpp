#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/data/preprocess/splits.h"

#include "data/synthetic_study.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

using test::error_of;

// `patients` patients with two cases each; every third one is positive.
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

TEST(Folds, EveryPatientOutsideTheHoldOutIsInOneFoldAndStrataAreEven) {
  auto cases = cohort(90);
  assign_splits(cases, {0.8, 0, 0.2}, 3);
  assign_folds(cases, 5, 3);
  EXPECT_NO_THROW(check_no_leakage(cases));
  std::map<int64_t, int64_t> positives, size;
  for (const Case& c : cases) {
    EXPECT_EQ(c.fold.has_value(), c.split != "test");
    if (!c.fold) continue;
    EXPECT_EQ(c.split, *c.fold == 0 ? "val" : "train");
    ++size[*c.fold];
    positives[*c.fold] += c.pe == 1;
  }
  ASSERT_EQ(size.size(), 5u);
  for (int64_t fold = 0; fold < 5; ++fold) {
    EXPECT_NEAR(positives[fold], 24 / 5.0, 1.01) << fold;  // 30 positive patients, 6 held out
    EXPECT_NEAR(size[fold], 144 / 5.0, 2.01) << fold;
  }
}

TEST(Folds, TooFewPatientsAreRefused) {
  auto cases = cohort(3);
  assign_splits(cases, {1, 0, 0}, 0);
  EXPECT_CONTAINS(error_of([&] { assign_folds(cases, 4, 0); }), "found 3");
}

TEST(SplitsFile, WhatIsWrittenReadsBackAndGivesTheSameSplitsWhateverTheSeed) {
  test::TemporaryFolder folder;
  auto cases = cohort(20), again = cohort(20);
  assign_splits(cases, {0.6, 0.2, 0.2}, 1);
  assign_folds(cases, 3, 1);
  write_splits(cases, folder / "splits.csv");
  apply_splits(read_splits(folder / "splits.csv"), "splits.csv", again);
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(again[i].split, cases[i].split);
    EXPECT_EQ(again[i].fold, cases[i].fold);
  }
}

TEST(SplitsFile, APatientsRowServesForAllOfItsCases) {
  test::TemporaryFolder folder;
  write_file(folder / "s.csv", "patient_id,split\np0,test\np1,train\n");
  auto cases = cohort(2);
  apply_splits(read_splits(folder / "s.csv"), "s.csv", cases);
  EXPECT_EQ(cases[0].split, "test");
  EXPECT_EQ(cases[1].split, "test");
  EXPECT_EQ(cases[3].split, "train");
}

TEST(SplitsFile, LeakageAndDoubtfulRowsAreRefusedByName) {
  test::TemporaryFolder folder;
  const auto message = [&](const std::string& text) {
    write_file(folder / "s.csv", text);
    return error_of([&] { read_splits(folder / "s.csv"); });
  };
  EXPECT_CONTAINS(message("id,patient_id,split\na,p,train\nb,p,test\n"),
                  "patient p is in two splits: train and test");
  EXPECT_CONTAINS(message("id,patient_id,split,fold\na,p,train,0\nb,p,train,1\n"), "fold 1");
  EXPECT_CONTAINS(message("id,split\na,dev\n"), "row 1: split must be");
  EXPECT_CONTAINS(message("id,split,fold\na,train,x\n"), "fold must be a number");
  EXPECT_CONTAINS(message("id,split\na,train\na,train\n"), "listed twice");
  EXPECT_CONTAINS(message("name,split\na,train\n"), "id");
  // Two ids of one patient in two splits, where the file does not say that they are one patient.
  write_file(folder / "s.csv", "id,split\nc0-0,train\nc0-1,test\n");
  auto cases = cohort(1);
  EXPECT_CONTAINS(error_of([&] { apply_splits(read_splits(folder / "s.csv"), "s.csv", cases); }),
                  "two splits");
}

TEST(SplitsFile, CasesThatItDoesNotNameAreListed) {
  auto cases = cohort(2);
  const std::string message = error_of([&] {
    apply_splits({{"c0-0", "", "train", {}}}, "given.csv", cases);
  });
  EXPECT_CONTAINS(message, "given.csv gives no split for 3 of 4 cases: c0-1, c1-0, c1-1");
}

}  // namespace
}  // namespace x2ctpa
