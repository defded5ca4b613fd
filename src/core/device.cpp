#include "x2ctpa/core/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <malloc.h>
#include <sched.h>
#include <sys/resource.h>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {

void RuntimeOptions::describe(OptionList& options) {
  options.add("device", &device, "Where tensors live: auto takes CUDA when there is one.");
  options.add("threads", &threads, "CPU threads; 0 takes every core that the process may use.", {.min = 0, .max = 1024});
  options.add("seed", &seed, "Seed of every random stream of the run.", {.min = 0});
  options.add("deterministic", &deterministic,
              "Compute each case in the same way whatever the batch, with deterministic kernels only.");
  options.add("precision", &precision, "Number format of the denoiser when sampling; everything else is fp32.", {.choices = {"fp32", "bf16"}});
}

c10::Device select_device(const RuntimeOptions& options) {
  const bool cuda = at::hasCUDA() && at::globalContext().hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  if (options.device == "auto") return cuda ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  try {
    const c10::Device device(options.device);
    if (device.is_cpu()) return device;
    if (device.is_cuda()) {
      const int count = cuda ? int(at::detail::getCUDAHooks().deviceCount()) : 0;
      if (device.has_index() ? device.index() < count : count > 0) return device;
      throw Error(fmt::format("runtime.device is {}, but {} CUDA device(s) can be used here; use --runtime.device "
                              "cpu, or check the driver and that this is the CUDA build", options.device, count));
    }
  } catch (const c10::Error&) {
  }
  throw Error(fmt::format("runtime.device must be auto, cpu, cuda or cuda:N, found \"{}\"", options.device));
}

int64_t available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

namespace {

/// Volume-sized buffers would go back to the system at every free, and their pages would be faulted
/// in anew at every allocation: that costs more than the arithmetic of many a kernel.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
}

}  // namespace

void configure_runtime(const RuntimeOptions& options) {
  keep_freed_memory();
  const int64_t threads = options.threads > 0 ? options.threads : available_cores();
  at::set_num_threads(static_cast<int>(threads));
  if (options.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  log_debug("{} CPU threads, seed {}, precision {}{}", threads, options.seed, options.precision,
            options.deterministic ? ", deterministic" : "");
}

c10::ScalarType compute_type(const RuntimeOptions& options) {
  return options.precision == "bf16" ? c10::kBFloat16 : c10::kFloat;
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t(usage.ru_maxrss) * 1024;
}

}  // namespace x2ctpa
