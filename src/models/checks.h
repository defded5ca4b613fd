// Shape checks at the public entries of the models.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace x2ctpa {

/// "(1, 4, 8, 16, 16)"; a negative size reads as "any".
std::string shape_text(at::IntArrayRef shape);

/// Throws Error naming `what`, the expected and the found shape. A negative size fits any.
void require_shape(const at::Tensor& tensor, const std::vector<int64_t>& expected,
                   const std::string& what);

/// Throws Error when `value` is not a multiple of `factor`.
void require_multiple(int64_t value, int64_t factor, const std::string& what);

/// The largest number of groups, `wanted` at most, that divides `channels`.
int64_t fitting_groups(int64_t channels, int64_t wanted);

}  // namespace x2ctpa
