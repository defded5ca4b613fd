#include "models/slabs/slab_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "models/slabs/fitting_plan.h"
#include "models/slabs/slab_pass.h"
#include "x2ctpa/core/memory.h"

namespace x2ctpa::slabs {
namespace {

// Goes through the levels. On the device `meta` it computes nothing and finds out how much memory
// it would take.
class SlabRun {
 public:
  SlabRun(const std::vector<Level>& levels, const MemoryPlan& plan)
      : levels_(levels), plan_(plan) {}

  // (B, D, H, W, C) -> the same order.
  at::Tensor through(at::Tensor x);
  int64_t peak_bytes() const { return peak_bytes_; }

 private:
  at::Tensor blocks(at::Tensor x, size_t level);
  at::Tensor blocks_from(const at::Tensor& source, size_t level);
  void add_layers(Pass& pass, size_t level, const Moments& moments) const;
  at::Tensor collect(Pass& pass, bool with_moments, at::Tensor into = {},
                     const at::Tensor& alive = {});
  at::Tensor fork(Pass pass, at::Tensor& skipped);
  Moments statistics(Pass pass);
  void note_memory(const Pass& pass, std::initializer_list<at::Tensor> whole);
  bool flows_on(size_t level) const;
  bool norm_follows(size_t level) const;
  bool recomputed(size_t level) const { return plan_.kept == 0 && levels_[level].finest; }
  bool started_anew(size_t level) const;

  const std::vector<Level>& levels_;
  MemoryPlan plan_;
  Moments moments_;  // of the present whole activation
  int64_t peak_bytes_ = 0;
};

// Whether the layers of the next level can follow the last block of this one in the same pass.
bool SlabRun::flows_on(size_t level) const {
  return level + 1 < levels_.size() && !levels_[level + 1].norm && !recomputed(level + 1) &&
         !started_anew(level + 1);
}

// Whether the output of this level's layers, which its first block narrows, is computed twice in
// the place of being kept: it would be the largest activation of all.
bool SlabRun::started_anew(size_t level) const {
  const Level& l = levels_[level];
  return plan_.kept == 1 && l.finest && !l.blocks.empty() && l.blocks.front().shortcut;
}

// Whether a norm follows the layers of this level.
bool SlabRun::norm_follows(size_t level) const {
  return !levels_[level].blocks.empty() || (level + 1 < levels_.size() && levels_[level + 1].norm);
}

void SlabRun::add_layers(Pass& pass, size_t level, const Moments& moments) const {
  const Level& l = levels_[level];
  for (size_t i = 0; i < l.layers.size(); ++i) {
    const bool last = level + 1 == levels_.size() && i + 1 == l.layers.size();
    const bool normed = i == 0 && l.norm;
    pass.add(l.layers[i], normed ? activation_after(*l.norm, moments) : Activation{},
             last ? at::kFloat : plan_.type);
  }
}

void SlabRun::note_memory(const Pass& pass, std::initializer_list<at::Tensor> whole) {
  int64_t bytes = pass.temporary_bytes(plan_.slab_bytes);
  std::vector<at::Tensor> counted;
  for (const auto& t : whole) {
    const bool seen = std::any_of(counted.begin(), counted.end(),
                                  [&](const at::Tensor& other) { return other.is_same(t); });
    if (!t.defined() || seen) continue;
    bytes += int64_t(t.nbytes());
    counted.push_back(t);
  }
  peak_bytes_ = std::max(peak_bytes_, bytes);
}

// The output of a pass as a whole, in a new tensor or written over `into`; `alive` is another
// tensor that has to be kept meanwhile.
at::Tensor SlabRun::collect(Pass& pass, bool with_moments, at::Tensor into,
                            const at::Tensor& alive) {
  if (!into.defined()) {
    into = at::empty(pass.size(), pass.source().options().dtype(pass.type()));
  }
  note_memory(pass, {pass.source(), into, alive});
  Moments moments;
  pass.run(plan_.slab_bytes, [&](const at::Tensor& y, int64_t start) {
    if (with_moments) moments.add(y);
    into.narrow(1, start, y.size(1)).copy_(y);
  });
  moments_ = moments;
  return into;
}

// The two outputs of a pass that ends in the first half of a block with a shortcut: what the second
// half takes, whose moments are noted, and in `skipped` what is added to it.
at::Tensor SlabRun::fork(Pass pass, at::Tensor& skipped) {
  const int64_t channels = pass.size()[4] - pass.beside();
  auto shape = pass.size();
  const auto empty = [&](int64_t width) {
    shape[4] = width;
    return at::empty(shape, pass.source().options().dtype(pass.type()));
  };
  const auto inner = empty(channels);
  skipped = empty(pass.beside());
  note_memory(pass, {pass.source(), inner, skipped});
  Moments moments;
  pass.run(plan_.slab_bytes, [&](const at::Tensor& y, int64_t start) {
    const auto half = y.narrow(4, 0, channels).contiguous();
    moments.add(half);
    inner.narrow(1, start, y.size(1)).copy_(half);
    skipped.narrow(1, start, y.size(1)).copy_(y.narrow(4, channels, pass.beside()));
  });
  moments_ = moments;
  return inner;
}

Moments SlabRun::statistics(Pass pass) {
  note_memory(pass, {pass.source()});
  Moments moments;
  pass.run(plan_.slab_bytes, [&](const at::Tensor& y, int64_t) { moments.add(y); });
  return moments;
}

// The blocks of a level and, where the next level has no norm, its layers. `x` is what the level's
// layers gave, or what they take where they are started anew.
at::Tensor SlabRun::blocks(at::Tensor x, size_t level) {
  const auto& all = levels_[level].blocks;
  const bool anew = started_anew(level), both = plan_.kept == 2 || anew;
  const Moments before = moments_;
  at::Tensor inner;  // of the present block, in the place of the former's
  for (size_t i = 0; i < all.size(); ++i) {
    const auto begin = [&] {
      Pass pass(x);
      if (anew && i == 0) add_layers(pass, level, before);
      return pass;
    };
    const auto first =
        activation_after(all[i].norm1, anew && i == 0 ? statistics(begin()) : moments_);
    Pass half = begin();
    half.add_half(all[i], first, plan_.type, /*fork=*/both);
    Moments inner_moments;
    if (both) {
      inner = all[i].shortcut ? fork(std::move(half), x) : collect(half, true, inner);
      inner_moments = moments_;
    } else if (all[i].norm2.groups > 0) {
      inner_moments = statistics(std::move(half));
    }
    const auto second = activation_after(all[i].norm2, inner_moments);
    Pass pass(both ? inner : x);
    if (both) {
      pass.add(all[i].conv2, second, plan_.type);
      pass.add_volume(x);
    } else {
      pass.add(all[i], first, second, plan_.type);
    }
    const bool on = i + 1 == all.size() && flows_on(level);
    if (on) add_layers(pass, level + 1, {});
    // The block's output takes the place of its input, which each pass has read before, if it fits.
    const bool in_place = !on && (both || !all[i].shortcut);
    x = collect(pass, i + 1 < all.size() || norm_follows(on ? level + 1 : level),
                in_place ? x : at::Tensor(), x);
  }
  return x;
}

// The same without keeping the level's activations: every norm's statistics are found in a pass
// of its own from the level's input.
at::Tensor SlabRun::blocks_from(const at::Tensor& source, size_t level) {
  const auto& all = levels_[level].blocks;
  const Moments before = moments_;
  std::vector<std::pair<Activation, Activation>> known;
  const auto start = [&] {
    Pass pass(source);
    add_layers(pass, level, before);
    for (size_t i = 0; i < known.size(); ++i) {
      pass.add(all[i], known[i].first, known[i].second, plan_.type);
    }
    return pass;
  };
  for (const auto& block : all) {
    const auto first = activation_after(block.norm1, statistics(start()));
    Pass half = start();
    half.add(block.conv1, first, plan_.type);
    known.emplace_back(first, activation_after(block.norm2, statistics(std::move(half))));
  }
  Pass pass = start();
  const bool on = flows_on(level);
  if (on) add_layers(pass, level + 1, {});
  return collect(pass, norm_follows(on ? level + 1 : level));
}

at::Tensor SlabRun::through(at::Tensor x) {
  bool layers_done = false;
  for (size_t level = 0; level < levels_.size(); ++level) {
    if (recomputed(level)) {
      x = blocks_from(x, level);
    } else {
      if (!layers_done && !started_anew(level)) {
        Pass pass(x);
        add_layers(pass, level, moments_);
        x = collect(pass, norm_follows(level));
      }
      x = blocks(std::move(x), level);
    }
    layers_done = !levels_[level].blocks.empty() && flows_on(level);
  }
  return x;
}

int64_t bytes_of(const std::vector<Level>& levels, at::IntArrayRef input, const MemoryPlan& plan) {
  at::InferenceMode no_gradients;
  SlabRun run(levels, plan);
  run.through(at::empty({plan.at_once, input[2], input[3], input[4], input[1]}, at::kMeta));
  return run.peak_bytes();
}

}  // namespace

MemoryPlan plan(const std::vector<Level>& levels, at::IntArrayRef input, const MemoryLimit& limit,
                const std::string& doing) {
  const auto device = levels.back().layers.back().weight.device();
  return fitting_plan({.samples = input[0], .most_kept = 2, .device = device}, limit, doing,
                      [&](const MemoryPlan& plan) { return bytes_of(levels, input, plan); });
}

at::Tensor run(const std::vector<Level>& levels, const at::Tensor& input, const MemoryPlan& plan) {
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b < input.size(0); b += plan.at_once) {
    const auto part = input.narrow(0, b, std::min(plan.at_once, input.size(0) - b));
    const auto slabs = part.permute({0, 2, 3, 4, 1}).to(plan.type).contiguous();
    parts.push_back(SlabRun(levels, plan).through(slabs).permute({0, 4, 1, 2, 3}).contiguous());
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace x2ctpa::slabs
