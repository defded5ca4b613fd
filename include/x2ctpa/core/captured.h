// A function of tensors that a GPU may run as one recorded graph.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

namespace x2ctpa {

class RecordedCall;

/// Calls a function, or on a GPU records the kernels of its first call as a CUDA graph and replays
/// them from then on: for functions of many short kernels, whose launches cost more than they do.
///
/// What is recorded must depend on the inputs alone, wait for the GPU nowhere, and use no
/// generator. Inputs of other shapes, types or devices are recorded anew. The memory of one call
/// stays taken until then.
class Captured {
 public:
  using Function = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

  /// `record` false, or a CPU: every call is a plain one.
  Captured(Function function, bool record);
  ~Captured();

  /// The function's outputs, the caller's own. Inputs may be undefined tensors.
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs);

 private:
  Function function_;
  bool record_;
  std::unique_ptr<RecordedCall> recorded_;
};

}  // namespace x2ctpa
