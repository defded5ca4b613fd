#include "models/slabs/conv_autoencoder3d_slabs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "models/kernels/norm_silu.h"
#include "models/slabs/fitting_plan.h"
#include "models/slabs/slab_stages.h"

namespace x2ctpa::slabs {
namespace {

using conv_autoencoder3d::Sizes;
using conv_autoencoder3d::Step;

// What looks at no other slice.
class SliceStage : public Stage {
 public:
  explicit SliceStage(std::function<at::Tensor(const at::Tensor&)> of_volume)
      : of_volume_(std::move(of_volume)) {}
  at::Tensor push(const at::Tensor& slab, bool) override {
    return as_slab(of_volume_(as_volume(slab)));
  }

 private:
  std::function<at::Tensor(const at::Tensor&)> of_volume_;
};

// Waits until it has whole groups of slices.
class ToDepthStage : public Stage {
 public:
  explicit ToDepthStage(Sizes factors) : factors_(std::move(factors)) {}
  at::Tensor push(const at::Tensor& slab, bool) override {
    const auto all = kept_.defined() ? at::cat({kept_, slab}, slice_axis) : slab;
    const int64_t count = all.size(slice_axis), whole = count / factors_[0] * factors_[0];
    kept_ = whole == count ? at::Tensor() : all.narrow(slice_axis, whole, count - whole).clone();
    if (whole == 0) return {};
    return as_slab(
        conv_autoencoder3d::space_to_depth(as_volume(all.narrow(slice_axis, 0, whole)), factors_));
  }

 private:
  Sizes factors_;
  at::Tensor kept_;
};

// A convolution of stride 1 with zeros around the volume.
class ZeroPaddedConvStage : public Stage {
 public:
  ZeroPaddedConvStage(const torch::nn::Conv3d& conv, at::ScalarType type)
      : weight_(conv->weight.to(type)), bias_(conv->bias.to(type)) {}

  at::Tensor push(const at::Tensor& slab, bool last) override {
    const auto padded = append(slab.to(weight_.scalar_type()), last);
    const int64_t taps = weight_.size(2), outputs = padded.size(slice_axis) - taps + 1;
    const int64_t done = std::max<int64_t>(outputs, 0);
    if (taps > 1) {
      kept_ = padded.narrow(slice_axis, done, padded.size(slice_axis) - done).clone();
    }
    if (outputs <= 0) return {};
    const std::vector<int64_t> around{0, weight_.size(3) / 2, weight_.size(4) / 2};
    return as_slab(at::conv3d(as_volume(padded), weight_, bias_, /*stride=*/1, around));
  }

 private:
  at::Tensor append(const at::Tensor& slab, bool last) {
    const int64_t beyond = weight_.size(2) / 2;
    if (beyond == 0) return slab;
    auto shape = slab.sizes().vec();
    shape[slice_axis] = beyond;
    const auto zeros = at::zeros(shape, slab.options());
    std::vector<at::Tensor> parts{kept_.defined() ? kept_ : zeros, slab};
    if (last) parts.push_back(zeros);
    return at::cat(parts, slice_axis);
  }

  at::Tensor weight_, bias_, kept_;
};

std::unique_ptr<Stage> norm_stage(conv_autoencoder3d::RmsNorm norm) {
  return std::make_unique<SliceStage>(
      [norm](const at::Tensor& x) mutable { return norm->forward(x); });
}

std::unique_ptr<Stage> stage_of(const Step& step, at::ScalarType type) {
  if (!step.to_depth.empty()) return std::make_unique<ToDepthStage>(step.to_depth);
  if (!step.to_space.empty()) {
    return std::make_unique<SliceStage>([factors = step.to_space](const at::Tensor& x) {
      return conv_autoencoder3d::depth_to_space(x, factors);
    });
  }
  if (step.conv) return std::make_unique<ZeroPaddedConvStage>(step.conv, type);
  if (step.norm) return norm_stage(step.norm);
  Chain inner;
  inner.push_back(norm_stage(step.block->norm()));
  inner.push_back(std::make_unique<ZeroPaddedConvStage>(step.block->conv1(), type));
  inner.push_back(std::make_unique<SliceStage>(activate));
  inner.push_back(std::make_unique<ZeroPaddedConvStage>(step.block->conv2(), type));
  return std::make_unique<ResidualStage>(std::move(inner));
}

// The last convolution gives float32 whatever the others compute in.
Chain chain_of(const std::vector<Step>& steps, at::ScalarType type) {
  const auto last =
      std::find_if(steps.rbegin(), steps.rend(), [](const Step& step) { return bool(step.conv); });
  Chain chain;
  for (const auto& step : steps)
    chain.push_back(stage_of(step, &step == &*last ? at::kFloat : type));
  return chain;
}

// An activation: (B, D, H, W, C) with D counted per slice of the input.
struct Extent {
  double slices;
  int64_t height, width, channels;

  double elements() const { return slices * double(height * width * channels); }
};

Extent after(const Step& step, Extent e) {
  const auto divide = [&](const Sizes& f) {
    e.slices /= double(f[0]);
    e.height /= f[1];
    e.width /= f[2];
    e.channels *= f[0] * f[1] * f[2];
  };
  const auto multiply = [&](const Sizes& f) {
    e.slices *= double(f[0]);
    e.height *= f[1];
    e.width *= f[2];
    e.channels /= f[0] * f[1] * f[2];
  };
  if (!step.to_depth.empty()) divide(step.to_depth);
  if (!step.to_space.empty()) multiply(step.to_space);
  if (step.conv) e.channels = step.conv->weight.size(0);
  return e;
}

// Elements of one slice of the input's share in the largest activation.
double largest_share(const std::vector<Step>& steps, Extent e) {
  double most = e.elements();
  for (const auto& step : steps) {
    e = after(step, e);
    most = std::max(most, e.elements());
  }
  return most;
}

Extent one_slice(at::IntArrayRef input) { return {1, input[3], input[4], input[1]}; }

int64_t slices_at_once(const std::vector<Step>& steps, at::IntArrayRef input, int64_t samples,
                       const MemoryPlan& plan) {
  const double bytes = double(samples) * largest_share(steps, one_slice(input)) *
                       double(c10::elementSize(plan.type));
  return std::clamp<int64_t>(int64_t(double(plan.slab_bytes) / bytes), 1, input[2]);
}

// Input and output as a whole, the slices that wait, and the largest step's temporaries.
int64_t bytes_of(const std::vector<Step>& steps, at::IntArrayRef input, const MemoryPlan& plan) {
  const auto slices = double(slices_at_once(steps, input, 1, plan));
  Extent e = one_slice(input);
  const double whole_input = e.elements() * double(input[2]);
  // Norms and the last convolution are in single precision whatever the type.
  constexpr double item = sizeof(float);
  double waiting = 0, most = 0, weights = 0;
  for (const auto& step : steps) {
    const Extent before = e;
    e = after(step, e);
    // A slab has a slice more than its share where an earlier step waited for it.
    const double in =
        before.elements() * slices + double(before.height * before.width * before.channels);
    const double out = e.elements() * slices + double(e.height * e.width * e.channels);
    const double of_slice = double(before.height * before.width * before.channels);
    if (!step.to_depth.empty()) waiting += of_slice * double(step.to_depth[0]);
    // Two slices wait before each convolution of kernel 3, and as many to be added to.
    if (step.conv && step.conv->weight.size(2) > 1) waiting += 2 * of_slice;
    if (step.block) waiting += 6 * of_slice;
    most = std::max(most, step.block ? 6 * in : 2 * in + 2 * out);
    if (step.conv) weights = std::max(weights, double(step.conv->weight.numel()));
    if (step.block) weights = std::max(weights, double(step.block->conv1()->weight.numel()));
  }
  const double whole_output = e.elements() * double(input[2]);
  return int64_t(item * (2 * whole_input + 2 * whole_output + waiting + most + 2 * weights));
}

}  // namespace

MemoryPlan plan(const std::vector<Step>& steps, at::IntArrayRef input, const MemoryLimit& limit,
                const std::string& doing) {
  const auto first =
      std::find_if(steps.begin(), steps.end(), [](const Step& step) { return bool(step.conv); });
  return fitting_plan({.samples = input[0], .most_kept = 0, .device = first->conv->weight.device()},
                      limit, doing,
                      [&](const MemoryPlan& plan) { return bytes_of(steps, input, plan); });
}

at::Tensor run(const std::vector<Step>& steps, const at::Tensor& input, const MemoryPlan& plan) {
  Extent e = one_slice(input.sizes());
  for (const auto& step : steps) e = after(step, e);
  const auto depth = int64_t(e.slices * double(input.size(2)));
  auto output = at::empty({input.size(0), depth, e.height, e.width, e.channels},
                          input.options().dtype(at::kFloat));
  for (int64_t b = 0; b < input.size(0); b += plan.at_once) {
    const int64_t samples = std::min(plan.at_once, input.size(0) - b);
    const auto part = as_slab(input.narrow(0, b, samples).to(plan.type));
    const auto place = output.narrow(0, b, samples);
    auto chain = chain_of(steps, plan.type);
    stream(part, slices_at_once(steps, input.sizes(), samples, plan), chain,
           [&](const at::Tensor& y, int64_t start) {
             place.narrow(slice_axis, start, y.size(slice_axis)).copy_(y);
           });
  }
  return as_volume(output).contiguous();
}

}  // namespace x2ctpa::slabs
