// bench_ops OPERATION FOLDER: our side of bench/compare.py. Reads commands from stdin, a line each:
//   run           does the operation once; answers with its seconds, a GPU's work included
//   profile FILE  the same, and writes a Chrome trace of LibTorch's operators
//   save FILE     writes the outputs of the last run as safetensors; answers "saved"
//   peak          answers with the highest resident memory so far, or that of tensors on the GPU,
//   in bytes
#include <ATen/DeviceAccelerator.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/profiler_legacy.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <string>

#include "operation.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa::bench {
namespace {

const std::map<std::string, std::function<Operation(const Setup&)>> operations{
    {"unet-forward", unet_forward},
    {"unet-train", unet_train},
    {"denoise", denoise},
    {"vqgan-reconstruct", vqgan_reconstruct},
    {"vqgan-train", vqgan_train},
    {"vae-decode", vae_decode},
    {"vit", vit},
    {"vit-load", vit_load},
    {"densenet", densenet},
    {"resample", resample_cubic},
    {"preprocess", preprocess_series},
    {"drr", drr},
    {"drr-backward", drr_backward},
    {"metrics", image_metrics},
};

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void answer(const std::string& text) {
  fmt::print("{}\n", text);
  std::fflush(stdout);
}

void finish(c10::Device device) {
  if (device.is_cuda()) at::accelerator::synchronizeDevice(device.index());
}

int64_t peak_bytes(c10::Device device) {
  if (!device.is_cuda()) return peak_memory_bytes();
  const auto stats = at::accelerator::getDeviceStats(device.index());
  return stats.allocated_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

void serve(const Operation& operation, c10::Device device) {
  const auto run = [&] {
    operation.run();
    finish(device);
  };
  finish(device);
  answer("ready");
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "run") {
      answer(fmt::format("{:.6f}", seconds_of(run)));
    } else if (line == "peak") {
      answer(std::to_string(peak_bytes(device)));
    } else if (line.rfind("save ", 0) == 0) {
      auto outputs = operation.outputs();
      for (auto& [name, tensor] : outputs) tensor = tensor.to(at::kCPU);
      write_safetensors(line.substr(5), outputs);
      answer("saved");
    } else if (line.rfind("profile ", 0) == 0) {
      torch::autograd::profiler::RecordProfile trace(line.substr(8));
      answer(fmt::format("{:.6f}", seconds_of(run)));
    } else {
      throw Error("expected run, save FILE, profile FILE or peak, found " + line);
    }
  }
}

void run(const std::string& name, const std::filesystem::path& folder) {
  Setup setup{folder, nlohmann::json::parse(read_file(folder / "setup.json"))};
  const auto inputs = folder / "inputs.safetensors";
  if (std::filesystem::exists(inputs)) setup.inputs = read_safetensors(inputs);
  RuntimeOptions runtime;
  runtime.threads = setup.options.value("threads", int64_t{0});
  runtime.device = setup.options.value("device", "cpu");
  runtime.tf32 = setup.options.value("tf32", false);
  configure_runtime(runtime);
  setup.device = select_device(runtime);
  if (setup.device.is_cuda() && !setup.device.has_index()) setup.device.set_index(0);
  for (auto& [name, tensor] : setup.inputs) tensor = tensor.to(setup.device);
  const auto found = operations.find(name);
  if (found == operations.end()) throw Error("there is no operation " + name);
  serve(found->second(setup), setup.device);
}

}  // namespace
}  // namespace x2ctpa::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: bench_ops OPERATION FOLDER\n");
    return 1;
  }
  try {
    x2ctpa::bench::run(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "bench_ops: {}\n", e.what());
    return 1;
  }
}
