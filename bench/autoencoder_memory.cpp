// Peak memory and time of an autoencoder at a size, with the default options and random weights.
//
//   autoencoder_memory conv|vqgan DxHxW code [LIMIT_GB] [fp32|bf16]     encode and decode, by plan
//   autoencoder_memory conv|vqgan DxHxW whole                           the same undivided
//   autoencoder_memory conv|vqgan DxHxW train|recompute [BATCH]         forward and backward pass
//
// One measurement per process, since the peak is the process's: what the process holds before is
// told too. Seconds are those of the CPU.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/models/conv_autoencoder3d.h"
#include "x2ctpa/models/kernels/recompute.h"
#include "x2ctpa/models/vqgan3d.h"

namespace x2ctpa {
namespace {

using Arguments = std::vector<std::string>;

std::vector<int64_t> size_of(const std::string& text) {
  std::vector<int64_t> size;
  for (size_t start = 0; start < text.size(); start = text.find('x', start) + 1) {
    size.push_back(std::stoll(text.substr(start)));
    if (text.find('x', start) == std::string::npos) break;
  }
  if (size.size() != 3) throw Error("expected a size such as 24x48x48, found " + text);
  return size;
}

// Of the CPU, all threads together: a machine that others use as well does not change it much.
double median_seconds(const std::function<void()>& work) {
  std::vector<double> times;
  double all = 0;
  // The first one warms up; where one takes long it says enough.
  while (times.size() < 4 && all < 10) {
    const std::clock_t start = std::clock();
    work();
    times.push_back(double(std::clock() - start) / CLOCKS_PER_SEC);
    all += times.back();
  }
  if (times.size() > 1) times.erase(times.begin());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

template <class Model>
std::string code(Model& model, const at::Tensor& x, const Arguments& args) {
  torch::NoGradGuard no_grad;
  model->eval();
  MemoryLimit limit;
  if (args.size() > 3) limit.bytes = int64_t(std::stod(args[3]) * 1e9);
  if (args.size() > 4 && args[4] == "bf16") limit.type = at::kBFloat16;
  const auto there = model->plan_encode(x.sizes(), limit);
  at::Tensor z;
  const double encode = median_seconds([&] { z = model->encode(x, there); });
  const auto back = model->plan_decode(z.sizes(), limit);
  const double decode = median_seconds([&] { model->decode(z, back); });
  return fmt::format("encode {:.2f} s ({}), decode {:.2f} s ({})", encode, there.text(), decode,
                     back.text());
}

template <class Model>
std::string whole(Model& model, const at::Tensor& x) {
  torch::NoGradGuard no_grad;
  model->eval();
  at::Tensor z;
  const double encode = median_seconds([&] { z = model->encode(x); });
  return fmt::format("encode {:.2f} s, decode {:.2f} s", encode,
                     median_seconds([&] { model->decode(z); }));
}

template <class Model>
std::string step(Model& model, const at::Tensor& x, const Arguments& args) {
  const RecomputeActivations recompute(args[2] == "recompute");
  const int64_t batch = args.size() > 3 ? std::stoll(args[3]) : 1;
  const auto volumes = x.expand({batch, -1, -1, -1, -1}).contiguous();
  return fmt::format("step of {} {:.3f} s", batch, median_seconds([&] {
                       model->zero_grad();
                       (model->forward(volumes).reconstruction - volumes).abs().mean().backward();
                     }));
}

template <class Model>
std::string measured(Model model, const at::Tensor& x, const Arguments& args) {
  if (args[2] == "code") return code(model, x, args);
  if (args[2] == "whole") return whole(model, x);
  return step(model, x, args);
}

void run(const Arguments& args) {
  if (args.size() < 3) throw Error("see the head of bench/autoencoder_memory.cpp");
  configure_runtime({});
  torch::manual_seed(0);
  const auto size = size_of(args[1]);
  const auto x = at::rand({1, 1, size[0], size[1], size[2]}) * 2 - 1;
  const double before = double(peak_memory_bytes()) / 1e9;
  const std::string result =
      args[0] == "conv" ? measured(ConvAutoencoder3d(), x, args) : measured(Vqgan3d(), x, args);
  fmt::print("{} {}: {} | peak {:.2f} GB, {:.2f} GB before\n", args[0], args[1], result,
             double(peak_memory_bytes()) / 1e9, before);
}

}  // namespace
}  // namespace x2ctpa

int main(int argc, char** argv) {
  try {
    x2ctpa::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    fmt::print(stderr, "autoencoder_memory: {}\n", e.what());
    return 1;
  }
}
