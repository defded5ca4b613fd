// How the program starts.
#include <gtest/gtest.h>

#include <string>

#include "commands/run_binary.h"

namespace x2ctpa {
namespace {

std::string openmp_says(const std::string& variables) {
  return test::run_binary("--version", "env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY " + variables +
                                           " OMP_DISPLAY_ENV=verbose ")
      .err;
}

TEST(Start, WaitingThreadsSleepUnlessTheUserSaysOtherwise) {
  EXPECT_NE(openmp_says("").find("GOMP_SPINCOUNT = '10000'"), std::string::npos);
  EXPECT_NE(openmp_says("GOMP_SPINCOUNT=7").find("GOMP_SPINCOUNT = '7'"), std::string::npos);
  EXPECT_EQ(openmp_says("OMP_WAIT_POLICY=active").find("GOMP_SPINCOUNT = '10000'"),
            std::string::npos);
}

TEST(Start, ArgumentsExitCodeAndStandardOutputAreTheProgramsOwn) {
  const auto version = test::run_binary("--version", "env -u GOMP_SPINCOUNT ");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.rfind("x2ctpa ", 0), 0u) << version.out;
  EXPECT_EQ(test::run_binary("no-such-command 'a b'", "env -u GOMP_SPINCOUNT ").exit_code, 1);
}

}  // namespace
}  // namespace x2ctpa
