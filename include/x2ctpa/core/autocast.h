// Mixed precision: ATen's autocast within a scope.
#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

namespace x2ctpa {

/// While it lives, operators on `device` that gain by it (convolutions, matrix products) compute in
/// `type`, kBFloat16 or kHalf; with kFloat all compute in the type of their inputs.
class Autocast {
 public:
  Autocast(c10::DeviceType device, c10::ScalarType type);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool before_, changed_;
  c10::ScalarType type_before_ = c10::kFloat;
};

}  // namespace x2ctpa
