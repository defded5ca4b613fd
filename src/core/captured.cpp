#include "x2ctpa/core/captured.h"

#ifdef X2CTPA_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#endif

namespace x2ctpa {

#ifdef X2CTPA_CUDA

struct Captured::Graph {
  at::cuda::CUDAGraph graph;
  std::vector<at::Tensor> inputs, outputs;  // where the recorded kernels read and write

  // Records `function` on a stream of its own, as CUDA demands, after calls that let LibTorch and
  // its libraries set up what they keep.
  Graph(const Function& function, const std::vector<at::Tensor>& given) {
    for (const auto& x : given) inputs.push_back(x.defined() ? x.clone() : x);
    // LibTorch's own stream functions are inline, and would need the CUDA runtime to link.
    const c10::impl::VirtualGuardImpl streams(c10::kCUDA);
    const auto device = given.front().device();
    const c10::Stream own = streams.getStreamFromGlobalPool(device);
    streams.getStream(device).synchronize();
    const c10::StreamGuard guard(own);
    for (int i = 0; i < 2; ++i) function(inputs);
    own.synchronize();
    graph.capture_begin();
    outputs = function(inputs);
    graph.capture_end();
  }

  bool takes(const std::vector<at::Tensor>& given) const {
    if (given.size() != inputs.size()) return false;
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].defined() != inputs[i].defined()) return false;
      if (given[i].defined() && (given[i].sizes() != inputs[i].sizes() ||
                                 given[i].scalar_type() != inputs[i].scalar_type() ||
                                 given[i].device() != inputs[i].device())) {
        return false;
      }
    }
    return true;
  }

  std::vector<at::Tensor> replay(const std::vector<at::Tensor>& given) {
    for (size_t i = 0; i < given.size(); ++i) {
      if (given[i].defined()) inputs[i].copy_(given[i], /*non_blocking=*/true);
    }
    graph.replay();
    std::vector<at::Tensor> results;
    for (const auto& y : outputs) results.push_back(y.clone());
    return results;
  }
};

std::vector<at::Tensor> Captured::operator()(const std::vector<at::Tensor>& inputs) {
  if (!record_ || inputs.empty() || !inputs.front().is_cuda()) return function_(inputs);
  if (!graph_ || !graph_->takes(inputs)) {
    graph_.reset();  // its memory is free for the new one
    graph_ = std::make_unique<Graph>(function_, inputs);
  }
  return graph_->replay(inputs);
}

#else

struct Captured::Graph {};

std::vector<at::Tensor> Captured::operator()(const std::vector<at::Tensor>& inputs) {
  static_cast<void>(record_);  // nothing is ever recorded without CUDA
  return function_(inputs);
}

#endif

Captured::Captured(Function function, bool record)
    : function_(std::move(function)), record_(record) {}
Captured::~Captured() = default;

}  // namespace x2ctpa
