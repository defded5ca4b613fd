#include "x2ctpa/core/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <mutex>
#include <string>

#include "core/buffer_pool.h"
#include "x2ctpa/core/cuda_library.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {

void RuntimeOptions::describe(OptionList& options) {
  options.add("device", &device, "Where tensors live: auto takes CUDA when there is one.");
  options.add("threads", &threads, "CPU threads; 0 takes every core that the process may use.",
              {.min = 0, .max = 1024});
  options.add("seed", &seed, "Seed of every random stream of the run.", {.min = 0});
  options.add(
      "deterministic", &deterministic,
      "Compute each case in the same way whatever the batch, with deterministic kernels only.");
  options.add("memory_gb", &memory_gb,
              "Memory that the program may take, in GB of the GPU or else of the machine: "
              "autoencoders go through volumes in parts "
              "that fit. 0: four fifths of what is free.",
              {.min = 0});
  options.add("precision", &precision,
              "Number format of the networks when sampling; bf16 needs a CPU or GPU that has it. "
              "Statistics and noise are fp32; training has its own, train.precision.",
              {Precision::fp32, Precision::bf16});
  options.add(
      "tf32", &tf32,
      "On a GPU: multiply float32 with the 10 bits of TF32, in training too; errors near 1e-3.");
  options.add("cuda_graph", &cuda_graph,
              "On a GPU: record a denoising step once and replay it, which spares the time of "
              "launching its kernels. "
              "Takes the memory of one step for as long as the program samples.");
}

namespace {

int64_t variable(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoll(text) : otherwise;
}

// Processes that torchrun or scripts/launch.sh started share the cores; srun gives each its own.
int64_t share_of_cores() {
  return std::max<int64_t>(
      1, available_cores() / std::max<int64_t>(1, variable("LOCAL_WORLD_SIZE", 1)));
}

}  // namespace

c10::Device select_device(const RuntimeOptions& options) {
  if (options.device == "auto") {
    const CudaState& cuda = cuda_state();
    if (cuda.library == nullptr) {
      static std::once_flag warned;
      if (cuda.unexpected) {
        std::call_once(warned, [&] { log_warning("no GPU is used: {}", cuda.why_not); });
      }
      return c10::kCPU;
    }
    // One GPU for each process of a node; srun may show each only its own.
    const int64_t place = variable("LOCAL_RANK", variable("SLURM_LOCALID", 0));
    return {c10::kCUDA, c10::DeviceIndex(place % at::detail::getCUDAHooks().deviceCount())};
  }
  try {
    const c10::Device device(options.device);
    if (device.is_cpu()) return device;
    if (device.is_cuda()) {
      const CudaState& cuda = cuda_state();
      if (cuda.library == nullptr) {
        throw Error(
            fmt::format("runtime.device is {}, but {}. --runtime.device cpu goes on without a GPU.",
                        options.device, cuda.why_not));
      }
      const int count = int(at::detail::getCUDAHooks().deviceCount());
      if (device.index() < count) return device;
      throw Error(fmt::format(
          "runtime.device is {}, but the GPUs that can be used here are cuda:0 to cuda:{}",
          options.device, count - 1));
    }
  } catch (const c10::Error&) {
  }
  throw Error(fmt::format("runtime.device must be auto, cpu, cuda or cuda:N, found \"{}\"",
                          options.device));
}

int64_t available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

namespace {

// Volume-sized buffers would go back to the system at every free, and their pages would be faulted
// in anew at every allocation: that costs more than the arithmetic of many a kernel. Tensors have
// their pool; the heap serves images on their way to tensors, and small blocks.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
  c10::SetCPUAllocator(&BufferPool::instance());
}

}  // namespace

void configure_runtime(const RuntimeOptions& options) {
  keep_freed_memory();
  const int64_t threads = options.threads > 0 ? options.threads : share_of_cores();
  at::set_num_threads(int(threads));
  if (options.deterministic) {
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8",
           /*replace=*/0);  // cuBLAS sums in a fixed order only with it
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicFillUninitializedMemory(
        false);  // every kernel writes what it returns
    at::globalContext().setBenchmarkCuDNN(false);
  }
  // LibTorch's own defaults differ: TF32 in convolutions, none in products.
  at::globalContext().setAllowTF32CuBLAS(options.tf32);
  at::globalContext().setAllowTF32CuDNN(options.tf32);
  log_debug("{} CPU threads, seed {}, precision {}{}", threads, options.seed, options.precision,
            options.deterministic ? ", deterministic" : "");
}

bool cpu_computes_bf16(const std::filesystem::path& root) {
  std::ifstream in(root / "proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
    for (const char* name : {" avx512_bf16", " amx_bf16", " bf16"}) {
      if ((line + " ").find(std::string(name) + " ") != std::string::npos) return true;
    }
    return false;
  }
  return false;
}

c10::ScalarType compute_type(const RuntimeOptions& options) {
  if (options.precision != Precision::bf16) return c10::kFloat;
  const bool cuda = select_device(options).is_cuda();
  const bool can = cuda ? at::detail::getCUDAHooks().supportsBFloat16ConvolutionWithCuDNNv8()
                        : cpu_computes_bf16();
  if (can) return c10::kBFloat16;
  static std::once_flag warned;
  std::call_once(warned, [&] {
    log_warning(
        "runtime.precision is bf16, but the {} has no instructions for it, which would be slower "
        "than fp32: fp32 is used",
        cuda ? "GPU" : "CPU");
  });
  return c10::kFloat;
}

int64_t peak_memory_bytes() {
  // getrusage() also counts what the process that started this one held at that moment.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) * 1024;
}

}  // namespace x2ctpa
