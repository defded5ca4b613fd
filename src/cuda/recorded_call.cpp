#include "cuda/recorded_call.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <functional>
#include <memory>

namespace x2ctpa {
namespace {

class Graph : public RecordedCall {
 public:
  // Records on a stream of its own, as CUDA demands.
  Graph(const std::function<Tensors(const Tensors&)>& function, const Tensors& given) {
    for (const auto& x : given) inputs_.push_back(x.defined() ? x.clone() : x);
    // LibTorch's own stream functions are inline, and would need the CUDA runtime to link.
    const c10::impl::VirtualGuardImpl streams(c10::kCUDA);
    const auto device = given.front().device();
    const c10::Stream own = streams.getStreamFromGlobalPool(device);
    streams.getStream(device).synchronize();
    const c10::StreamGuard guard(own);
    for (int i = 0; i < 2; ++i) function(inputs_);
    own.synchronize();
    graph_.capture_begin();
    outputs_ = function(inputs_);
    graph_.capture_end();
  }

  bool takes(const Tensors& given) const override {
    if (given.size() != inputs_.size()) return false;
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].defined() != inputs_[i].defined()) return false;
      if (given[i].defined() && (given[i].sizes() != inputs_[i].sizes() ||
                                 given[i].scalar_type() != inputs_[i].scalar_type() ||
                                 given[i].device() != inputs_[i].device())) {
        return false;
      }
    }
    return true;
  }

  Tensors replay(const Tensors& given) override {
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].defined()) inputs_[i].copy_(given[i], /*non_blocking=*/true);
    }
    graph_.replay();
    Tensors results;
    for (const auto& y : outputs_) results.push_back(y.clone());
    return results;
  }

 private:
  at::cuda::CUDAGraph graph_;
  Tensors inputs_, outputs_;  // where the recorded kernels read and write
};

}  // namespace

std::unique_ptr<RecordedCall> record_call(const std::function<Tensors(const Tensors&)>& function,
                                          const Tensors& inputs) {
  return std::make_unique<Graph>(function, inputs);
}

}  // namespace x2ctpa
