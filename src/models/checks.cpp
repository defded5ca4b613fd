#include "models/checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "x2ctpa/core/error.h"

namespace x2ctpa {

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] < 0 ? "any" : std::to_string(shape[i]);
  }
  return text + ")";
}

void require_shape(const at::Tensor& tensor, const std::vector<int64_t>& expected,
                   const std::string& what) {
  if (!tensor.defined()) {
    throw Error(
        fmt::format("{}: expected a tensor of shape {}, found none", what, shape_text(expected)));
  }
  bool fits = tensor.dim() == int64_t(expected.size());
  for (size_t i = 0; fits && i < expected.size(); ++i) {
    fits = expected[i] < 0 || tensor.size(int64_t(i)) == expected[i];
  }
  if (!fits) {
    throw Error(fmt::format("{}: expected shape {}, found {}", what, shape_text(expected),
                            shape_text(tensor.sizes())));
  }
}

void require_multiple(int64_t value, int64_t factor, const std::string& what) {
  if (value <= 0 || value % factor != 0) {
    throw Error(
        fmt::format("{}: expected a positive multiple of {}, found {}", what, factor, value));
  }
}

int64_t fitting_groups(int64_t channels, int64_t wanted) {
  int64_t groups = std::min(channels, wanted);
  while (groups > 1 && channels % groups != 0) --groups;
  return std::max<int64_t>(groups, 1);
}

}  // namespace x2ctpa
