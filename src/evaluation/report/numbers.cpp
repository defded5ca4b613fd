// Numbers as texts and tables give them.
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "evaluation/steps.h"

namespace x2ctpa {

std::string number_text(double value, int digits) {
  if (std::isinf(value)) return value > 0 ? "∞" : "-∞";
  return std::isnan(value) ? "–" : fmt::format("{:.{}f}", value, digits);
}

std::string p_text(double p) {
  if (std::isnan(p)) return "–";
  return p < 0.001 ? fmt::format("{:.1e}", p) : fmt::format("{:.2g}", p);
}

}  // namespace x2ctpa
