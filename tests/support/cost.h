// What reading a hostile file costs, against the limits that docs/reliability.md states.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "x2ctpa/core/error.h"

namespace x2ctpa::test {

#ifdef __SANITIZE_ADDRESS__
inline constexpr int64_t of_sanitizers = 8;  ///< which keep freed memory, and are slow
#else
inline constexpr int64_t of_sanitizers = 1;
#endif

/// Memory of this process in bytes: the most since reset_peak_memory().
inline int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes << 10;
    }
  return 0;
}

inline void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

/// Calls `read`, which may throw Error alone, and returns that text ("" when there is none). Fails
/// when it takes more than the limits.
inline std::string cost_checked(const std::function<void()>& read, int64_t megabytes = 256,
                                double seconds = 10) {
  reset_peak_memory();
  const int64_t before = peak_resident_bytes();
  const auto start = std::chrono::steady_clock::now();
  std::string error;
  try {
    read();
  } catch (const Error& e) {
    error = e.what();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), seconds * double(of_sanitizers)) << error;
  EXPECT_LT((peak_resident_bytes() - before) >> 20, megabytes * of_sanitizers) << error;
  return error;
}

}  // namespace x2ctpa::test
