// What a training step's parts cost: the optimiser with the moving average against LibTorch's loop,
// and the activations of the denoiser with and without recomputation. docs/training.md has the
// figures.
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/models/kernels/recompute.h"
#include "x2ctpa/models/unet3d.h"
#include "x2ctpa/models/vqgan3d.h"
#include "x2ctpa/training/losses.h"
#include "x2ctpa/training/optimiser.h"

namespace x2ctpa::bench {
namespace {

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Bytes of tensors on this thread: now, and the most so far.
class Watch : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    now_ += size;
    most_ = std::max(most_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  double most_mb() const { return double(most_) / 1e6; }

 private:
  int64_t now_ = 0, most_ = 0;
};

void set_gradients(const std::vector<at::Tensor>& parameters) {
  for (const auto& p : parameters) p.mutable_grad() = at::full_like(p, 1e-3);
}

void optimiser(int rounds) {
  Unet3d ours_model(Unet3dOptions{}), theirs_model(Unet3dOptions{});
  const auto mine = ours_model->parameters(), other = theirs_model->parameters();
  Adam ours(mine, {.decoupled = false});
  WeightAverage average(*ours_model, 0.995);
  torch::optim::Adam theirs(other, torch::optim::AdamOptions(1e-4));
  std::vector<at::Tensor> copies;
  for (const auto& p : other) copies.push_back(p.detach().clone());
  std::vector<double> a, b, ratio;
  for (int round = 0; round < rounds; ++round) {
    set_gradients(mine);
    set_gradients(other);
    a.push_back(seconds([&] {
      ours.step(1e-4, std::max(1.0, ours.gradient_norm()));
      average.update();
    }));
    b.push_back(seconds([&] {
      at::NoGradGuard no_grad;
      double squares = 0;
      for (const auto& p : other) squares += std::pow(p.grad().norm().item<double>(), 2);
      if (squares > 1) {
        for (const auto& p : other) p.mutable_grad().mul_(1 / std::sqrt(squares));
      }
      theirs.step();
      for (size_t i = 0; i < copies.size(); ++i) copies[i].mul_(0.995).add_(other[i], 0.005);
    }));
    ratio.push_back(b.back() / a.back());
  }
  std::sort(ratio.begin(), ratio.end());
  std::printf(
      "clip, Adam and average of 12 million weights: ours %.1f ms, torch::optim::Adam with loops "
      "%.1f ms, ratio %.2f (%.2f-%.2f)\n",
      1e3 * median(a), 1e3 * median(b), median(ratio), ratio.front(), ratio.back());
}

void recomputation(const char* name, int rounds, const std::function<at::Tensor()>& loss) {
  double most[2] = {0, 0};
  std::vector<double> time[2], ratio;
  for (int round = 0; round < rounds; ++round) {
    for (const bool on : {false, true}) {
      auto watch = std::make_shared<Watch>();
      c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, watch);
      time[on].push_back(seconds([&] {
        at::Tensor value;
        {
          const RecomputeActivations recompute(on);
          value = loss();
        }
        value.backward();
      }));
      most[on] = watch->most_mb();
    }
    ratio.push_back(time[1].back() / time[0].back());
  }
  std::printf(
      "%s: activations at most %.0f MB, recomputed %.0f MB (%.2f of it); %.2f s, recomputed %.2f s "
      "(%.2f times)\n",
      name, most[0], most[1], most[1] / most[0], median(time[0]), median(time[1]), median(ratio));
}

}  // namespace
}  // namespace x2ctpa::bench

int main(int argc, char** argv) {
  using namespace x2ctpa;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  configure_runtime({});
  torch::manual_seed(0);
  bench::optimiser(4 * rounds);
  Unet3d unet{Unet3dOptions{}};
  const auto x = at::randn({1, 4, 64, 32, 32}), t = at::full({1}, 500, at::kLong),
             cond = at::randn({1, 512});
  bench::recomputation("Unet3D, batch 1, 4x64x32x32", rounds, [&] {
    unet->zero_grad();
    return unet->forward(x, t, cond).square().mean();
  });
  Vqgan3dOptions options;
  options.codes = 512;
  Vqgan3d vae(options);
  const auto volume = at::rand({1, 1, 32, 64, 64});
  bench::recomputation("3D VQ-GAN, batch 1, 32x64x64", rounds, [&] {
    vae->zero_grad();
    const auto out = vae->forward(volume);
    return reconstruction_loss(out.reconstruction, volume) + commitment_loss(out.codes, 0.25);
  });
}
