// Peak memory and time of decoding at the published sizes, undivided and by plan.
//
//   decode_memory vqgan16|vqgan240|kl|maisi whole|KEPT:SLAB_MB|LIMIT_GB [fp32|bf16]
//   [OUT.safetensors] decode_memory compare A.safetensors B.safetensors
//
// KEPT:SLAB_MB forces a plan, LIMIT_GB has one chosen. Weights and latents are random with a fixed
// seed. One decode per process, since the peak is the process's. On a machine that others use, set
// GOMP_SPINCOUNT=10000 and compare the time of the CPU.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include <chrono>
#include <ctime>
#include <string>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/models/autoencoder_kl.h"
#include "x2ctpa/models/autoencoder_maisi.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

struct Result {
  at::Tensor volume;
  std::string plan = "undivided";
  double seconds = 0, cpu_seconds = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void apply_forced(MemoryPlan& plan, const std::string& mode) {
  const size_t colon = mode.find(':');
  plan.kept = std::stoll(mode.substr(0, colon));
  plan.slab_bytes = int64_t(std::stod(mode.substr(colon + 1)) * 1e6);
  plan.bytes = 0;
}

template <class Model, class Plan, class Whole, class Planned>
Result measure(Model& model, const std::string& mode, at::ScalarType type, Plan plan_for,
               Whole whole, Planned planned) {
  Result result;
  MemoryPlan plan;
  if (mode != "whole") {
    const bool forced = mode.find(':') != std::string::npos;
    plan = plan_for(forced ? MemoryLimit{.type = type}
                           : MemoryLimit{int64_t(std::stod(mode) * 1e9), type});
    if (forced) apply_forced(plan, mode);
    result.plan = plan.text();
  }
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  result.volume = mode == "whole" ? whole() : planned(plan);
  result.seconds = seconds_since(start);
  result.cpu_seconds = double(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  return result;
}

Result decode_vqgan(int64_t hidden, const std::string& mode, at::ScalarType type) {
  Vqgan3dOptions options;
  options.hidden_channels = hidden;
  if (hidden == 240) {
    options.embedding_dim = 256;
    options.codes = 2048;
  }
  Vqgan3d model(options);
  model->eval();
  const auto latent =
      hidden == 240 ? at::randn({1, 256, 8, 32, 32}) : at::randn({1, 8, 32, 64, 64});
  return measure(
      model, mode, type,
      [&](const MemoryLimit& limit) { return model->plan_decode(latent.sizes(), limit); },
      [&] { return model->decode(latent); },
      [&](const MemoryPlan& plan) { return model->decode(latent, plan); });
}

Result decode_kl(const std::string& mode, at::ScalarType type) {
  AutoencoderKl model;
  model->eval();
  model->to(type);
  const auto latent = at::randn({1, 4, 64, 32, 32}).to(type);
  return measure(
      model, mode, type,
      [&](const MemoryLimit& limit) { return model->plan_decode_volume(latent.sizes(), limit); },
      [&] { return model->decode_volume(latent, 64); },
      [&](const MemoryPlan& plan) { return model->decode_volume(latent, plan.at_once); });
}

Result decode_maisi(const std::string& mode, at::ScalarType type) {
  AutoencoderMaisi model;
  model->eval();
  const auto latent = at::randn({1, 4, 64, 64, 32});
  return measure(
      model, mode, type,
      [&](const MemoryLimit& limit) { return model->plan_decode(latent.sizes(), limit); },
      [&] { return model->decode(latent); },
      [&](const MemoryPlan& plan) { return model->decode(latent, plan); });
}

int compare(const std::string& a, const std::string& b) {
  const auto x = read_safetensors(a).at("volume"), y = read_safetensors(b).at("volume");
  fmt::print("largest difference {:.2e} of the largest value, mean {:.2e}\n",
             ((x - y).abs().max() / y.abs().max()).item<double>(),
             ((x - y).abs().mean() / y.abs().mean()).item<double>());
  return 0;
}

int run(const std::vector<std::string>& args) {
  if (args.size() == 3 && args[0] == "compare") return compare(args[1], args[2]);
  if (args.size() < 2) throw Error("see the head of bench/decode_memory.cpp for its arguments");
  configure_runtime({});
  torch::NoGradGuard no_gradients;
  torch::manual_seed(0);
  const auto type = args.size() > 2 && args[2] == "bf16" ? at::kBFloat16 : at::kFloat;
  Result result;
  if (args[0] == "kl")
    result = decode_kl(args[1], type);
  else if (args[0] == "maisi")
    result = decode_maisi(args[1], type);
  else
    result = decode_vqgan(args[0] == "vqgan240" ? 240 : 16, args[1], type);
  fmt::print("{} {}: {} | {:.1f} s, {:.1f} s of CPU | peak RSS {:.2f} GB | {}\n", args[0], args[1],
             c10::toString(type), result.seconds, result.cpu_seconds,
             double(peak_memory_bytes()) / 1e9, result.plan);
  if (args.size() > 3) write_safetensors(args[3], {{"volume", result.volume.to(at::kFloat)}}, {});
  return 0;
}

}  // namespace
}  // namespace x2ctpa

int main(int argc, char** argv) {
  try {
    return x2ctpa::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    fmt::print(stderr, "decode_memory: {}\n", e.what());
    return 1;
  }
}
