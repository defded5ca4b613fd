// Small studies made up for tests.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "support/real_data.h"
#include "support/temporary_folder.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace fs = std::filesystem;
}

namespace x2ctpa::test {

/// A body with two lungs of together about 3.4 litres, 4 mm voxels; `seed` adds noise.
inline Volume thorax(int64_t seed = 0) {
  constexpr int64_t depth = 64, height = 64, width = 88;
  const auto z = (at::arange(depth) - depth / 2.0).view({-1, 1, 1}) * 4;
  const auto y = (at::arange(height) - height / 2.0).view({1, -1, 1}) * 4;
  const auto x = (at::arange(width) - width / 2.0).view({1, 1, -1}) * 4;
  const auto ellipsoid = [&](double cx, double rx, double ry, double rz) {
    return ((x - cx) / rx).square() + (y / ry).square() + (z / rz).square() < 1;
  };
  torch::manual_seed(seed);
  const auto body = ((x / 160).square() + (y / 110).square()).expand({depth, height, width}) < 1;
  const auto lungs = ellipsoid(-70, 50, 70, 105).logical_or(ellipsoid(70, 50, 70, 105));
  auto hu = at::full({depth, height, width}, -1000.0);
  hu = at::where(body, at::full_like(hu, 40), hu);
  hu = at::where(lungs, at::full_like(hu, -850), hu) + at::randn(hu.sizes()) * 10;
  return {hu.to(at::kFloat).contiguous(), {-176, -128, -128}, {4, 4, 4}};
}

inline at::Tensor picture(int64_t size, int64_t seed) {
  torch::manual_seed(seed);
  return at::rand({size, size});
}

inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

}  // namespace x2ctpa::test
