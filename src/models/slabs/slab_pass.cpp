#include "models/slabs/slab_pass.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

namespace x2ctpa::slabs {

void Pass::note(const at::Tensor& weight, int64_t out_channels, at::IntArrayRef stride,
                const vqgan3d::Sizes& padding, bool up, at::ScalarType type) {
  const auto in = size_;
  for (size_t axis = 0; axis < 3; ++axis) {
    size_[axis + 1] = up ? in[axis + 1] * stride[axis] : in[axis + 1] / stride[axis];
  }
  size_[4] = out_channels;
  type_ = type;
  const auto item = int64_t(c10::elementSize(type));
  const double in_slices = work_.empty() ? 1 : work_.back().out_slices;
  const double growth = double(size_[1]) / double(in[1]);
  const int64_t in_bytes =
      in[0] * (in[2] + padding[2] + padding[3]) * (in[3] + padding[0] + padding[1]) * in[4] * item;
  const int64_t out_bytes = size_[0] * size_[2] * size_[3] * size_[4] * item;
  work_.push_back({in_slices, in_slices * growth, in_bytes, out_bytes, 2 * weight.size(2),
                   weight.numel() * item});
}

void Pass::add(const Layer& layer, const Activation& before, at::ScalarType type) {
  if (layer.conv != nullptr) {
    const auto& conv = layer.conv->conv();
    note(conv->weight, conv->weight.size(0), *conv->options.stride(), layer.conv->padding(), false,
         type);
    chain_.push_back(std::make_unique<ConvStage>(*layer.conv, before, type));
  } else {
    const auto& conv = layer.up->conv();
    note(conv->weight, conv->weight.size(1), *conv->options.stride(), layer.up->padding(), true,
         type);
    chain_.push_back(std::make_unique<UpStage>(*layer.up, before, type));
  }
}

void Pass::add(const vqgan3d::ResBlockImpl& block, const Activation& first,
               const Activation& second, at::ScalarType type) {
  for (const auto* layer : {&block.conv1(), &block.conv2()}) {
    const auto& conv = layer->conv();
    note(conv->weight, conv->weight.size(0), *conv->options.stride(), layer->padding(), false,
         type);
  }
  Chain inner;
  inner.push_back(std::make_unique<ConvStage>(block.conv1(), first, type));
  inner.push_back(std::make_unique<ConvStage>(block.conv2(), second, type));
  chain_.push_back(std::make_unique<ResidualStage>(std::move(inner)));
}

void Pass::add_volume(const at::Tensor& volume) {
  chain_.push_back(std::make_unique<AddStage>(volume));
}

int64_t Pass::slices_at_once(int64_t slab_bytes) const {
  double most = 1;
  for (const auto& w : work_) {
    most = std::max({most, w.in_slices * double(w.in_bytes), w.out_slices * double(w.out_bytes)});
  }
  const auto slices = int64_t(double(slab_bytes) / most);
  return std::clamp<int64_t>(slices, 1, source_.size(1));
}

int64_t Pass::temporary_bytes(int64_t slab_bytes) const {
  const auto slices = double(slices_at_once(slab_bytes));
  double bytes = 0;
  int64_t weight_bytes = 0;
  for (const auto& w : work_) {
    bytes += (slices * w.in_slices + double(w.waiting)) * double(w.in_bytes);
    bytes += (slices * w.out_slices + 1) * double(w.out_bytes);
    weight_bytes = std::max(weight_bytes, w.weight_bytes);
  }
  // A convolution orders its weights anew.
  return int64_t(bytes) + 2 * weight_bytes;
}

void Pass::run(int64_t slab_bytes, const std::function<void(const at::Tensor&, int64_t)>& sink) {
  if (source_.is_meta()) return;
  stream(source_, slices_at_once(slab_bytes), chain_, sink);
}

}  // namespace x2ctpa::slabs
