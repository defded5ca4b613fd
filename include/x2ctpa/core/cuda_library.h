// libx2ctpa_cuda.so: what cannot be compiled without CUDA, loaded when a program first asks for a
// GPU where there is a driver. One program serves machines with and without GPUs.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace x2ctpa {

using Tensors = std::vector<at::Tensor>;

/// The kernels of one call of a function, recorded as a CUDA graph.
class RecordedCall {
 public:
  virtual ~RecordedCall() = default;
  /// Whether inputs have the shapes, types and device of those of the recording.
  virtual bool takes(const Tensors& inputs) const = 0;
  /// The outputs for other inputs, the caller's own.
  virtual Tensors replay(const Tensors& inputs) = 0;
};

/// What the library gives, under the C name of `cuda_library_symbol`.
struct CudaLibrary {
  const char* version;  ///< of x2ctpa: program and library are built together
  int cuda;             ///< of CUDA, such as 13000
  std::unique_ptr<RecordedCall> (*record)(const std::function<Tensors(const Tensors&)>& function,
                                          const Tensors& inputs);
  c10::intrusive_ptr<c10d::Backend> (*open_nccl)(const c10::intrusive_ptr<c10d::Store>& store,
                                                 int rank, int count);
};
constexpr const char* cuda_library_symbol = "x2ctpa_cuda_library";

/// Whether this process computes on GPUs, and if not, why and what would mend it.
struct CudaState {
  const CudaLibrary* library = nullptr;  ///< null: GPUs are not used
  std::string why_not;                   ///< a sentence without its full stop
  int driver = 0;           ///< the newest CUDA that the driver knows, such as 13010; 0: no driver
  bool unexpected = false;  ///< a driver is there, and its GPUs are out of reach all the same
};

/// Loads the library and with it LibTorch's CUDA libraries, at the first call and only where there
/// is a driver. LibTorch must not have been asked for a GPU before: it remembers its answer.
const CudaState& cuda_state();

/// Loads the library whether or not there is a driver; `why_not` says what is missing.
CudaState load_cuda_library();

/// "13.0" of 13000.
std::string cuda_version_text(int version);

}  // namespace x2ctpa
