#include "x2ctpa/core/captured.h"

#include <memory>
#include <utility>
#include <vector>

#include "x2ctpa/core/cuda_library.h"

namespace x2ctpa {

Captured::Captured(Function function, bool record)
    : function_(std::move(function)), record_(record) {}
Captured::~Captured() = default;

std::vector<at::Tensor> Captured::operator()(const std::vector<at::Tensor>& inputs) {
  const bool on_gpu = !inputs.empty() && inputs.front().is_cuda();
  const CudaLibrary* cuda = record_ && on_gpu ? cuda_state().library : nullptr;
  if (cuda == nullptr) return function_(inputs);
  if (!recorded_ || !recorded_->takes(inputs)) {
    recorded_.reset();  // its memory is free for the new one
    recorded_ = cuda->record(function_, inputs);
  }
  return recorded_->replay(inputs);
}

}  // namespace x2ctpa
