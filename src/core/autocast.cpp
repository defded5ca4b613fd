#include "x2ctpa/core/autocast.h"

#include <ATen/autocast_mode.h>

namespace x2ctpa {

Autocast::Autocast(c10::DeviceType device, c10::ScalarType type)
    : device_(device),
      before_(at::autocast::is_autocast_enabled(device)),
      changed_(before_ || type != c10::kFloat) {
  if (!changed_) return;
  type_before_ = at::autocast::get_autocast_dtype(device);
  at::autocast::increment_nesting();
  at::autocast::set_autocast_enabled(device, type != c10::kFloat);
  if (type != c10::kFloat) at::autocast::set_autocast_dtype(device, type);
}

Autocast::~Autocast() {
  if (!changed_) return;
  // The copies of weights in the other type are kept for the outermost scope only: then they
  // change.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

}  // namespace x2ctpa
