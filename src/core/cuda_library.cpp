#include "x2ctpa/core/cuda_library.h"

#include <ATen/Context.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <cstdlib>
#include <string>

#include "x2ctpa/core/version.h"

namespace x2ctpa {
namespace {

constexpr const char* library_file = "libx2ctpa_cuda.so";

// What the loader says, "libcublas.so.13: cannot open shared object file: ...", in our words.
std::string why_not_loaded(const std::string& loader) {
  const std::string file = loader.substr(0, loader.find(':'));
  const bool missing = loader.find("cannot open shared object file") != std::string::npos;
  if (missing && file == library_file) {
    return fmt::format(
        "this program was built without {}, which holds what CUDA is needed for; run "
        "scripts/setup.sh --cuda and build again",
        library_file);
  }
  return fmt::format(
      "LibTorch's CUDA libraries are incomplete: {}; install them all with `pip install "
      "torch=={}` or scripts/setup.sh --cuda",
      missing ? file + " was not found" : loader, TORCH_VERSION);
}

// The newest CUDA that the driver of this machine knows; 0 without a driver.
int driver_version() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver == nullptr) return 0;
  const auto ask = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDriverGetVersion"));
  int version = 0;
  return ask != nullptr && ask(&version) == 0 ? version : 1;
}

std::string why_no_gpu() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) return "the NVIDIA driver shows no GPU; `nvidia-smi` lists them";
  return fmt::format("the NVIDIA driver shows no GPU, with CUDA_VISIBLE_DEVICES=\"{}\"", visible);
}

CudaState find_cuda() {
  const int driver = driver_version();
  if (driver == 0) {
    return {.why_not = "there is no NVIDIA driver here: libcuda.so.1 was not found"};
  }
  CudaState state = load_cuda_library();
  state.driver = driver;
  state.unexpected = state.library == nullptr;
  if (state.library == nullptr) return state;
  // A driver serves every CUDA of its own major version, and older ones.
  if (driver / 1000 < state.library->cuda / 1000) {
    state.why_not = fmt::format(
        "the NVIDIA driver is for CUDA {} at most, and LibTorch was built with CUDA {}; install a "
        "newer driver",
        cuda_version_text(driver), cuda_version_text(state.library->cuda));
    state.unexpected = true;
  } else if (at::detail::getCUDAHooks().deviceCount() <= 0) {
    state.why_not = why_no_gpu();
  }
  if (!state.why_not.empty()) state.library = nullptr;
  return state;
}

}  // namespace

CudaState load_cuda_library() {
  // Global, as if the program were linked with them: cuDNN and others load more by name.
  void* loaded = dlopen(library_file, RTLD_NOW | RTLD_GLOBAL);
  if (loaded == nullptr) return {.why_not = why_not_loaded(dlerror())};
  const auto get = reinterpret_cast<const CudaLibrary* (*)()>(dlsym(loaded, cuda_library_symbol));
  const CudaLibrary* library = get != nullptr ? get() : nullptr;
  if (library == nullptr || std::string(library->version) != version()) {
    return {.why_not = fmt::format("{} is not of version {}, as the program is; build both again",
                                   library_file, version())};
  }
  return {.library = library};
}

const CudaState& cuda_state() {
  static const CudaState state = find_cuda();
  return state;
}

std::string cuda_version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace x2ctpa
