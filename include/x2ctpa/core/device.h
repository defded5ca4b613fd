// The device, thread count and precision that a command runs with.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

/// Number format of convolutions and matrix products.
enum class Precision { fp32, bf16, fp16 };
constexpr auto words(Precision) { return std::array{"fp32", "bf16", "fp16"}; }

struct RuntimeOptions {
  std::string device = "auto";
  int64_t threads = 0;
  int64_t seed = 0;
  bool deterministic = false;
  Precision precision = Precision::fp32;
  double memory_gb = 0;
  bool tf32 = false;
  bool cuda_graph = false;

  void describe(OptionList& options);
};

/// The device named by `options.device`: "cpu", "cuda", "cuda:1"; "auto" takes CUDA when there is
/// one: the GPU of this process's place on its node, as torchrun (LOCAL_RANK) and Slurm number
/// them. Throws Error, which says why, when the device cannot be used.
c10::Device select_device(const RuntimeOptions& options);

/// Sets and logs LibTorch's threads (0: every core that this process may use, whatever
/// OMP_NUM_THREADS says, or its share where LOCAL_WORLD_SIZE processes use them), deterministic
/// algorithms, and what a GPU does with float32. Call before the first use of a GPU.
void configure_runtime(const RuntimeOptions& options);

/// The number of cores that this process may run on.
int64_t available_cores();

/// kFloat for fp32; kBFloat16 for bf16 where the device has instructions for it, else kFloat
/// with a warning, once: without them bf16 is slower than fp32.
c10::ScalarType compute_type(const RuntimeOptions& options);

/// Whether the CPU multiplies bf16 (AVX512-BF16, AMX, or Arm's BF16), by `root`/proc/cpuinfo.
bool cpu_computes_bf16(const std::filesystem::path& root = "/");

/// Highest resident memory of this process so far, in bytes.
int64_t peak_memory_bytes();

}  // namespace x2ctpa
