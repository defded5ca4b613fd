// Public medical images beside the checkout, for tests; a test skips where they are absent.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace x2ctpa::test {

/// The folder ../shared/real beside the source folder, joined with `name`.
inline std::filesystem::path real_data(const std::string& name) {
  const auto tests = std::filesystem::path(__FILE__).parent_path().parent_path();
  return (tests.parent_path() / ".." / "shared" / "real" / name).lexically_normal();
}

}  // namespace x2ctpa::test

/// Skips the test, with a message, where the real image or folder `name` is absent.
#define X2CTPA_NEEDS_REAL_DATA(name)                             \
  if (!std::filesystem::exists(::x2ctpa::test::real_data(name))) \
  GTEST_SKIP() << "real data absent: " << ::x2ctpa::test::real_data(name).string()
