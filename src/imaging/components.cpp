#include "components.h"

namespace x2ctpa {
namespace {

struct Filler {
  const uint8_t* mask;
  int32_t* labels;
  std::array<int64_t, 3> size;
  bool across_slices;
  std::vector<int64_t> stack;

  void visit(int64_t at, int32_t label) {
    if (mask[at] == 0 || labels[at] != 0) return;
    labels[at] = label;
    stack.push_back(at);
  }

  Component fill(int64_t seed, int32_t label) {
    Component c;
    c.label = label;
    c.first = size;
    const auto [depth, height, width] = size;
    visit(seed, label);
    while (!stack.empty()) {
      const int64_t at = stack.back();
      stack.pop_back();
      const std::array<int64_t, 3> p{at / (height * width), at / width % height, at % width};
      ++c.voxels;
      for (int d = 0; d < 3; ++d) {
        c.first[d] = std::min(c.first[d], p[d]);
        c.last[d] = std::max(c.last[d], p[d]);
        c.centre[d] += static_cast<double>(p[d]);
      }
      if (p[2] > 0) visit(at - 1, label);
      if (p[2] + 1 < width) visit(at + 1, label);
      if (p[1] > 0) visit(at - width, label);
      if (p[1] + 1 < height) visit(at + width, label);
      if (!across_slices) continue;
      if (p[0] > 0) visit(at - height * width, label);
      if (p[0] + 1 < depth) visit(at + height * width, label);
    }
    for (double& x : c.centre) x /= static_cast<double>(c.voxels);
    c.touches_side = c.first[1] == 0 || c.first[2] == 0 || c.last[1] + 1 == height || c.last[2] + 1 == width;
    return c;
  }
};

}  // namespace

Components connected_components(const torch::Tensor& mask, bool across_slices) {
  const auto m = mask.to(torch::kUInt8).contiguous();
  Components result;
  result.labels = torch::zeros(m.sizes(), torch::kInt32);
  Filler filler{m.data_ptr<uint8_t>(), result.labels.data_ptr<int32_t>(), {m.size(0), m.size(1), m.size(2)},
                across_slices, {}};
  for (int64_t i = 0; i < m.numel(); ++i)
    if (filler.mask[i] != 0 && filler.labels[i] == 0)
      result.all.push_back(filler.fill(i, static_cast<int32_t>(result.all.size()) + 1));
  return result;
}

std::vector<Component> Components::by_size() const {
  auto sorted = all;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.voxels > b.voxels; });
  return sorted;
}

torch::Tensor Components::mask_of(int64_t label) const { return (labels == label).to(torch::kUInt8); }

torch::Tensor holes_filled(const torch::Tensor& mask, int64_t largest_hole) {
  auto filled = mask.contiguous().clone();
  uint8_t* out = filled.data_ptr<uint8_t>();
  for (const bool across_slices : {true, false}) {
    const auto background = connected_components(1 - filled, across_slices);
    const int32_t* labels = background.labels.data_ptr<int32_t>();
    std::vector<char> hole{0};
    for (const auto& c : background.all) {
      const bool open_end = across_slices && (c.first[0] == 0 || c.last[0] + 1 == mask.size(0));
      hole.push_back(!c.touches_side && !open_end && (across_slices || c.voxels <= largest_hole));
    }
    for (int64_t i = 0; i < filled.numel(); ++i)
      if (hole[labels[i]]) out[i] = 1;
  }
  return filled;
}

}  // namespace x2ctpa
