#include "x2ctpa/models/linear_probe.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "models/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/clipped_to.h"

namespace x2ctpa {

void LinearProbeOptions::describe(OptionList& options) {
  options.add("grid", &grid, "Shape to which an input is averaged; empty: no linear probe.",
              {.min = 1});
  options.add("components", &components, "Principal components that are weighed.", {.min = 0});
  options.add("window", &window, "Limits to which values are clipped first; empty: none.");
}

namespace {

int64_t numbers_in(at::IntArrayRef shape) {
  int64_t n = 1;
  for (const int64_t side : shape) n *= side;
  return n;
}

}  // namespace

at::Tensor averaged_to_grid(const at::Tensor& x, at::IntArrayRef grid) {
  std::vector<int64_t> shape(grid.size() + 1, -1);
  if (!grid.empty()) shape[1] = grid[0];
  require_shape(x, shape, "linear probe: input with its batch axis");
  if (grid.size() == 4) return at::adaptive_avg_pool3d(x, grid.slice(1)).flatten(1);
  if (grid.size() == 3) return at::adaptive_avg_pool2d(x, grid.slice(1)).flatten(1);
  return x;
}

at::Tensor averaged_to_grid(const at::Tensor& x, at::IntArrayRef grid,
                            const std::vector<double>& window) {
  if (window.empty()) return averaged_to_grid(x, grid);
  return averaged_to_grid(clipped_to(x, window.at(0), window.at(1)), grid);
}

LinearProbeImpl::LinearProbeImpl(LinearProbeOptions options) : options_(std::move(options)) {
  const auto& grid = options_.grid;
  if ((grid.size() != 1 && grid.size() != 3 && grid.size() != 4) || options_.components < 1) {
    throw Error(
        fmt::format("linear probe: expected a grid of 1, 3 or 4 sides and at least one "
                    "component, found [{}] and {}",
                    fmt::join(grid, ", "), options_.components));
  }
  const auto& window = options_.window;
  if (!window.empty() && (window.size() != 2 || !(window[0] < window[1])))
    throw Error(fmt::format("linear probe: expected a window of two rising limits, found [{}]",
                            fmt::join(window, ", ")));
  const int64_t numbers = numbers_in(grid);
  mean_ = register_buffer("mean", at::zeros({numbers}, at::kFloat));
  directions_ =
      register_buffer("directions", at::zeros({options_.components, numbers}, at::kFloat));
  weight_ = register_buffer("weight", at::zeros({options_.components}, at::kFloat));
  bias_ = register_buffer("bias", at::zeros({1}, at::kFloat));
}

void LinearProbeImpl::set(const at::Tensor& mean, const at::Tensor& directions,
                          const at::Tensor& weight, double bias) {
  mean_.copy_(mean);
  directions_.copy_(directions);
  weight_.copy_(weight);
  bias_.fill_(bias);
}

at::Tensor LinearProbeImpl::forward(const at::Tensor& x) {
  const at::Tensor components =
      at::matmul(averaged_to_grid(x, options_.grid, options_.window) - mean_, directions_.t());
  return at::matmul(components, weight_) + bias_;
}

}  // namespace x2ctpa
