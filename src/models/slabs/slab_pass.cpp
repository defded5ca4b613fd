#include "models/slabs/slab_pass.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

namespace x2ctpa::slabs {

void Pass::note(const Conv& conv, at::ScalarType type) {
  const auto in = size_;
  for (size_t axis = 0; axis < 3; ++axis) {
    size_[axis + 1] =
        conv.transposed ? in[axis + 1] * conv.stride[axis] : in[axis + 1] / conv.stride[axis];
  }
  size_[4] = conv.out_channels();
  type_ = type;
  const auto item = int64_t(c10::elementSize(type));
  const double in_slices = work_.empty() ? 1 : work_.back().out_slices;
  const double growth = double(size_[1]) / double(in[1]);
  const auto& padding = conv.padding;
  const int64_t in_bytes =
      in[0] * (in[2] + padding[2] + padding[3]) * (in[3] + padding[0] + padding[1]) * in[4] * item;
  const int64_t out_bytes = size_[0] * size_[2] * size_[3] * size_[4] * item;
  work_.push_back({in_slices, in_slices * growth, in_bytes, out_bytes, 2 * conv.weight.size(2),
                   conv.weight.numel() * item});
}

// Twice the size along each axis; its slices are there twice, before and after they are mixed.
void Pass::note_doubled(at::ScalarType type) {
  const auto item = int64_t(c10::elementSize(type));
  const double in_slices = work_.empty() ? 1 : work_.back().out_slices;
  for (size_t axis = 1; axis < 4; ++axis) size_[axis] *= 2;
  const int64_t bytes = size_[0] * size_[2] * size_[3] * size_[4] * item;
  work_.push_back({in_slices, 2 * in_slices, bytes, bytes, 2, 0});
}

void Pass::add(const Conv& conv, const Activation& before, at::ScalarType type) {
  if (conv.doubled) {
    note_doubled(type);
    chain_.push_back(std::make_unique<DoubleStage>());
  }
  note(conv, type);
  chain_.push_back(std::make_unique<ConvStage>(conv, before, type));
}

void Pass::add(const Block& block, const Activation& first, const Activation& second,
               at::ScalarType type) {
  Chain inner, shortcut;
  if (block.shortcut) {
    add_aside(*block.shortcut, type);
    shortcut.push_back(std::make_unique<ConvStage>(*block.shortcut, Activation{}, type));
  }
  note(block.conv1, type);
  note(block.conv2, type);
  inner.push_back(std::make_unique<ConvStage>(block.conv1, first, type));
  inner.push_back(std::make_unique<ConvStage>(block.conv2, second, type));
  chain_.push_back(
      std::make_unique<ResidualStage>(std::move(inner), std::move(shortcut), Join::sum));
}

void Pass::add_half(const Block& block, const Activation& first, at::ScalarType type, bool fork) {
  if (!fork || !block.shortcut) return add(block.conv1, first, type);
  add_aside(*block.shortcut, type);
  note(block.conv1, type);
  Chain inner, shortcut;
  inner.push_back(std::make_unique<ConvStage>(block.conv1, first, type));
  shortcut.push_back(std::make_unique<ConvStage>(*block.shortcut, Activation{}, type));
  chain_.push_back(
      std::make_unique<ResidualStage>(std::move(inner), std::move(shortcut), Join::beside));
  beside_ = block.shortcut->out_channels();
  size_[4] += beside_;
}

// Counts a convolution that keeps the size and runs beside those that follow.
void Pass::add_aside(const Conv& conv, at::ScalarType type) {
  const auto size = size_;
  note(conv, type);
  size_ = size;
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
