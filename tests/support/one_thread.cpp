// Linked into tests of small tensors: more threads would only wait for each other.
#include <ATen/Parallel.h>

namespace {
const bool one_thread = [] {
  at::set_num_threads(1);
  return true;
}();
}  // namespace
