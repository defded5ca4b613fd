#include <c10/util/intrusive_ptr.h>
#include <cuda_runtime_api.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "cuda/recorded_call.h"
#include "x2ctpa/core/cuda_library.h"

namespace x2ctpa {
namespace {

c10::intrusive_ptr<c10d::Backend> open_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int count) {
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::make_intrusive<c10d::PrefixStore>("nccl", store), rank, count);
}

constexpr CudaLibrary library = {X2CTPA_VERSION, CUDART_VERSION, record_call, open_nccl};

}  // namespace

extern "C" __attribute__((visibility("default"))) const CudaLibrary* x2ctpa_cuda_library() {
  return &library;
}

}  // namespace x2ctpa
