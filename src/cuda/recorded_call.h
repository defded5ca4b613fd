// A function's kernels as a CUDA graph.
#pragma once

#include <functional>
#include <memory>

#include "x2ctpa/core/cuda_library.h"

namespace x2ctpa {

/// Calls the function three times, twice for what LibTorch and its libraries set up, and records
/// the last. The rules of `Captured` hold for it.
std::unique_ptr<RecordedCall> record_call(const std::function<Tensors(const Tensors&)>& function,
                                          const Tensors& inputs);

}  // namespace x2ctpa
