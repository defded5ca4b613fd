// What the tests of several models need.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/safetensors.h"

namespace x2ctpa::test {

/// Largest difference as a fraction of the largest expected value.
inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  const auto a = found.detach().to(at::kCPU, at::kDouble);
  const auto b = expected.detach().to(at::kCPU, at::kDouble);
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-30)).item<double>();
}

/// The names of the parameters without a gradient, or with one of zeros; empty when all are fed.
inline std::string parameters_without_gradient(const torch::nn::Module& module) {
  std::string names;
  for (const auto& item : module.named_parameters()) {
    const auto gradient = item.value().grad();
    if (!gradient.defined() || gradient.abs().max().item<double>() == 0) names += item.key() + " ";
  }
  return names;
}

inline void expect_error(const std::function<void()>& body, const std::string& part) {
  try {
    body();
    ADD_FAILURE() << "no Error was thrown; expected one with: " << part;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
  }
}

inline std::filesystem::path reference_folder() {
  return std::filesystem::path(X2CTPA_SOURCE_DIR).parent_path() / "shared" / "reference-vectors";
}

}  // namespace x2ctpa::test

/// Skips the test when `path`, relative to the reference vectors, is absent.
#define X2CTPA_VECTORS_OR_SKIP(path)                                       \
  if (!std::filesystem::exists(x2ctpa::test::reference_folder() / (path))) \
  GTEST_SKIP() << "no " << (path) << " in " << x2ctpa::test::reference_folder()
