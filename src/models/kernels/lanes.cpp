#include "models/kernels/lanes.h"

#include <ATen/Version.h>

#include <string>

namespace x2ctpa::lanes {

Processor processor() {
  static const Processor found = [] {
    const std::string name = at::get_cpu_capability();
    if (name.rfind("AVX512", 0) == 0) return Processor::avx512;
    return name == "AVX2" ? Processor::avx2 : Processor::other;
  }();
  return found;
}

}  // namespace x2ctpa::lanes
