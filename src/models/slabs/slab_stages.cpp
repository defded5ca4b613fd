#include "models/slabs/slab_stages.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace x2ctpa::slabs {
namespace {

// Fills the planes beside `size` ones, which begin at `before`: with zeros, or with the outermost.
void fill_edges(const at::Tensor& padded, int64_t axis, int64_t before, int64_t size, bool zeros) {
  const int64_t after = padded.size(axis) - before - size;
  if (zeros) {
    if (before > 0) padded.narrow(axis, 0, before).zero_();
    if (after > 0) padded.narrow(axis, before + size, after).zero_();
    return;
  }
  if (before > 0) padded.narrow(axis, 0, before).copy_(padded.narrow(axis, before, 1));
  if (after > 0) {
    padded.narrow(axis, before + size, after).copy_(padded.narrow(axis, before + size - 1, 1));
  }
}

// (B, C) -> (B, 1, 1, W, C): whole rows, so that the inner loops over memory are long.
at::Tensor per_row(const at::Tensor& values, int64_t width) {
  return values.view({values.size(0), 1, 1, 1, values.size(1)})
      .expand({-1, 1, 1, width, -1})
      .contiguous();
}

Conv in_type(Conv conv, at::ScalarType type) {
  conv.weight = conv.weight.to(type);
  conv.bias = conv.bias.to(type);
  return conv;
}

}  // namespace

at::Tensor as_volume(const at::Tensor& slab) { return slab.permute({0, 4, 1, 2, 3}); }

at::Tensor as_slab(const at::Tensor& volume) {
  return volume.permute({0, 2, 3, 4, 1}).contiguous();
}

void Moments::add(const at::Tensor& slab) {
  // Slice by slice: the kernel sums in single precision.
  for (int64_t s = 0; s < slab.size(slice_axis); ++s) {
    std::vector<at::Tensor> means, variances;
    for (int64_t b = 0; b < slab.size(0); ++b) {
      const auto slice = slab.narrow(0, b, 1).narrow(slice_axis, s, 1).to(at::kFloat);
      const auto [mean, variance] = at::batch_norm_update_stats(as_volume(slice), {}, {}, 0);
      means.push_back(mean);
      variances.push_back(variance);
    }
    const double n = double(slab.size(2) * slab.size(3));
    const auto mean = at::stack(means).to(at::kDouble);
    const auto m2 = at::stack(variances).to(at::kDouble) * n;
    if (count_ == 0) {
      mean_ = mean;
      m2_ = m2;
    } else {
      // Chan, Golub, LeVeque: updating formulae for sample variances, 1979.
      const double total = double(count_) + n;
      const auto difference = mean - mean_;
      mean_ = mean_ + difference * (n / total);
      m2_ = m2_ + m2 + difference.square() * (double(count_) * n / total);
    }
    count_ += int64_t(n);
  }
}

Activation activation_after(const Norm& norm, const Moments& moments) {
  const auto weight = norm.weight.to(at::kDouble), bias = norm.bias.to(at::kDouble);
  if (norm.groups == 0) {
    const auto scale = weight * (norm.running_variance.to(at::kDouble) + norm.eps).rsqrt();
    const auto shift = bias - norm.running_mean.to(at::kDouble) * scale;
    return {scale.to(at::kFloat).unsqueeze(0), shift.to(at::kFloat).unsqueeze(0), norm.silu};
  }
  if (moments.count() == 0) return {};
  const auto batch = moments.mean().size(0), channels = moments.mean().size(1);
  const auto means = moments.mean().view({batch, norm.groups, -1});
  const auto squares = moments.square().view({batch, norm.groups, -1});
  const auto mean = means.mean(2, /*keepdim=*/true);
  const auto variance =
      (squares / double(moments.count()) + (means - mean).square()).mean(2, /*keepdim=*/true);
  const auto scale = weight.view({1, norm.groups, -1}) * (variance + norm.eps).rsqrt();
  const auto shift = bias.view({1, norm.groups, -1}) - mean * scale;
  return {scale.reshape({batch, channels}).to(at::kFloat),
          shift.reshape({batch, channels}).to(at::kFloat), norm.silu};
}

PaddedSlices::PaddedSlices(const Conv& conv, Activation before, at::ScalarType type)
    : padding_(conv.padding), zeros_(conv.zeros), before_(std::move(before)), type_(type) {}

void PaddedSlices::activate_into(at::Tensor inside, const at::Tensor& slab) const {
  if (!before_.scale.defined()) {
    inside.copy_(slab);
    return;
  }
  const auto scale = per_row(before_.scale, slab.size(3));
  const auto shift = per_row(before_.shift, slab.size(3));
  if (slab.scalar_type() == at::kFloat && type_ == at::kFloat) {
    at::addcmul_out(inside, shift, slab, scale);
    if (before_.silu) at::silu_(inside);
  } else {
    auto y = at::addcmul(shift, slab.to(at::kFloat), scale);
    inside.copy_(before_.silu ? at::silu_(y) : y);
  }
}

at::Tensor PaddedSlices::append(const at::Tensor& slab, bool last) {
  const int64_t count = slab.size(1), height = slab.size(2), width = slab.size(3);
  const int64_t kept = kept_.defined() ? kept_.size(slice_axis) : 0;
  const int64_t front = started_ ? 0 : padding_[4];
  const int64_t back = last ? padding_[5] : 0;
  auto padded =
      at::empty({slab.size(0), kept + front + count + back, padding_[2] + height + padding_[3],
                 padding_[0] + width + padding_[1], slab.size(4)},
                slab.options().dtype(type_));
  if (kept > 0) padded.narrow(slice_axis, 0, kept).copy_(kept_);
  const auto fresh = padded.narrow(slice_axis, kept + front, count);
  const auto rows = fresh.narrow(2, padding_[2], height);
  activate_into(rows.narrow(3, padding_[0], width), slab);
  fill_edges(rows, 3, padding_[0], width, zeros_);
  fill_edges(fresh, 2, padding_[2], height, zeros_);
  fill_edges(padded, slice_axis, front, kept + count, zeros_);
  started_ = true;
  return padded;
}

void PaddedSlices::keep_after(const at::Tensor& padded, int64_t done) {
  const int64_t left = padded.size(slice_axis) - done;
  kept_ = done == 0 ? padded : padded.narrow(slice_axis, done, left).clone();
}

ConvStage::ConvStage(const Conv& conv, Activation before, at::ScalarType type)
    : conv_(in_type(conv, type)), input_(conv, std::move(before), type) {}

at::Tensor ConvStage::push(const at::Tensor& slab, bool last) {
  const auto padded = input_.append(slab, last);
  const int64_t slices = padded.size(slice_axis);
  const int64_t taps = conv_.weight.size(2), stride = conv_.stride[0];
  if (conv_.transposed) {
    // Cut by taps - 1 slices at both ends, as the layer does: these lack an input slice.
    const int64_t cut = taps - 1, outputs = (slices - 1) * stride + taps - 2 * cut;
    input_.keep_after(padded, std::max<int64_t>(outputs, 0) / stride);
    if (outputs <= 0) return {};
    return as_slab(at::conv_transpose3d(as_volume(padded), conv_.weight, conv_.bias, conv_.stride,
                                        /*padding=*/cut));
  }
  const int64_t outputs = slices < taps ? 0 : (slices - taps) / stride + 1;
  input_.keep_after(padded, outputs * stride);
  if (outputs == 0) return {};
  return as_slab(at::conv3d(as_volume(padded), conv_.weight, conv_.bias, conv_.stride));
}

at::Tensor DoubleStage::push(const at::Tensor& slab, bool last) {
  // Along H and W by the kernel, along D here: each pair of neighbours has two slices between it.
  const auto fine = as_slab(at::upsample_trilinear3d(
      as_volume(slab), {slab.size(1), 2 * slab.size(2), 2 * slab.size(3)}, false));
  const int64_t count = fine.size(slice_axis);
  const auto all = at::cat({kept_.defined() ? kept_ : fine.narrow(slice_axis, 0, 1), fine}, 1);
  const auto before = all.narrow(slice_axis, 0, count), after = fine;
  auto shape = fine.sizes().vec();
  shape[slice_axis] = 2 * count + (last ? 1 : 0);
  auto out = at::empty(shape, fine.options());
  const auto places = out.narrow(slice_axis, 0, 2 * count);
  places.slice(slice_axis, 0, 2 * count, 2).copy_(at::lerp(before, after, 0.25));
  places.slice(slice_axis, 1, 2 * count, 2).copy_(at::lerp(before, after, 0.75));
  const auto newest = fine.narrow(slice_axis, count - 1, 1);
  if (last) out.narrow(slice_axis, 2 * count, 1).copy_(newest);
  // Before the first slice lies nothing: of its pair only the second slice is there.
  const int64_t skip = kept_.defined() ? 0 : 1;
  kept_ = newest.clone();
  return out.narrow(slice_axis, skip, shape[slice_axis] - skip);
}

at::Tensor ResidualStage::push(const at::Tensor& slab, bool last) {
  auto aside = slab;
  for (const auto& stage : shortcut_) aside = stage->push(aside, last);
  skipped_.push_back(aside);
  auto y = slab;
  for (const auto& stage : inner_) {
    y = stage->push(y, last);
    if (!y.defined()) return y;
  }
  if (join_ == Join::beside) {
    auto shape = y.sizes().vec();
    shape[4] += aside.size(4);
    const auto both = at::empty(shape, y.options());
    both.narrow(4, 0, y.size(4)).copy_(y);
    take_skipped(both.narrow(4, y.size(4), aside.size(4)).zero_());
    return both;
  }
  take_skipped(y);
  return y;
}

void ResidualStage::take_skipped(const at::Tensor& sum) {
  for (int64_t done = 0; done < sum.size(slice_axis);) {
    auto& oldest = skipped_.front();
    const int64_t count = std::min(oldest.size(slice_axis), sum.size(slice_axis) - done);
    sum.narrow(slice_axis, done, count).add_(oldest.narrow(slice_axis, 0, count));
    done += count;
    oldest = oldest.narrow(slice_axis, count, oldest.size(slice_axis) - count);
    if (oldest.size(slice_axis) == 0) skipped_.pop_front();
  }
}

at::Tensor AddStage::push(const at::Tensor& slab, bool) {
  auto sum = slab;
  sum.add_(volume_.narrow(slice_axis, next_, slab.size(slice_axis)));
  next_ += slab.size(slice_axis);
  return sum;
}

void stream(const at::Tensor& volume, int64_t slices, Chain& chain,
            const std::function<void(const at::Tensor&, int64_t)>& sink) {
  int64_t written = 0;
  for (int64_t start = 0; start < volume.size(slice_axis); start += slices) {
    const int64_t count = std::min(slices, volume.size(slice_axis) - start);
    const bool last = start + count == volume.size(slice_axis);
    auto slab = volume.narrow(slice_axis, start, count);
    for (const auto& stage : chain) {
      slab = stage->push(slab, last);
      if (!slab.defined()) break;
    }
    if (!slab.defined()) continue;
    sink(slab, written);
    written += slab.size(slice_axis);
  }
}

}  // namespace x2ctpa::slabs
