#include "imaging/volume/components.h"

#include <algorithm>

namespace x2ctpa {
namespace {

// Neighbouring voxels of the mask in one row.
struct Run {
  int64_t row, first, last;  // row counts through all slices
  int32_t parent;            // an earlier run of the same component, or the run itself
};

// The runs of a mask, joined to components by union and find.
class Runs {
 public:
  Runs(const at::Tensor& mask, bool across_slices)
      : mask_(mask.const_data_ptr<uint8_t>()),
        size_{mask.size(0), mask.size(1), mask.size(2)},
        begins_(size_t(size_[0] * size_[1] + 1), 0) {
    for (int64_t row = 0; row < size_[0] * size_[1]; ++row) {
      begins_[size_t(row)] = int64_t(runs_.size());
      scan(row);
      begins_[size_t(row) + 1] = int64_t(runs_.size());
      if (row % size_[1] > 0) join(row, row - 1);
      if (across_slices && row >= size_[1]) join(row, row - size_[1]);
    }
  }

  // The components in the order of their first voxels; writes their labels.
  std::vector<Component> label(int32_t* labels) {
    std::vector<Component> all;
    std::vector<int32_t> label_of(runs_.size(), 0);
    for (size_t i = 0; i < runs_.size(); ++i) {
      const int32_t root = find(int32_t(i));
      if (root == int32_t(i)) {
        all.push_back({});
        all.back().label = label_of[i] = int32_t(all.size());
        all.back().first = size_;
      }
      label_of[i] = label_of[size_t(root)];
      const Run& run = runs_[i];
      std::fill(labels + run.row * size_[2] + run.first, labels + run.row * size_[2] + run.last + 1,
                label_of[i]);
      count(run, all[size_t(label_of[i] - 1)]);
    }
    for (Component& c : all) {
      for (double& x : c.centre) x /= double(c.voxels);
      c.touches_side = c.first[1] == 0 || c.first[2] == 0 || c.last[1] + 1 == size_[1] ||
                       c.last[2] + 1 == size_[2];
    }
    return all;
  }

 private:
  void scan(int64_t row) {
    const uint8_t* line = mask_ + row * size_[2];
    for (int64_t i = 0; i < size_[2];) {
      while (i < size_[2] && line[i] == 0) ++i;
      if (i == size_[2]) return;
      const int64_t first = i;
      while (i < size_[2] && line[i] != 0) ++i;
      runs_.push_back({row, first, i - 1, int32_t(runs_.size())});
    }
  }

  int32_t find(int32_t i) {
    while (runs_[size_t(i)].parent != i) {
      Run& run = runs_[size_t(i)];
      run.parent = runs_[size_t(run.parent)].parent;
      i = run.parent;
    }
    return i;
  }

  // Joins the runs of two rows that share a column; the earlier run becomes the root.
  void join(int64_t row, int64_t other) {
    int64_t a = begins_[size_t(row)], b = begins_[size_t(other)];
    const int64_t a_end = begins_[size_t(row) + 1];
    const int64_t b_end = begins_[size_t(other) + 1];
    while (a < a_end && b < b_end) {
      const Run &x = runs_[size_t(a)], &y = runs_[size_t(b)];
      if (x.first <= y.last && y.first <= x.last) {
        const int32_t i = find(int32_t(a)), j = find(int32_t(b));
        runs_[size_t(std::max(i, j))].parent = std::min(i, j);
      }
      if (x.last < y.last)
        ++a;
      else
        ++b;
    }
  }

  void count(const Run& run, Component& c) const {
    const int64_t slice = run.row / size_[1], line = run.row % size_[1];
    const int64_t length = run.last - run.first + 1;
    const auto n = double(length);
    c.voxels += length;
    c.first = {std::min(c.first[0], slice), std::min(c.first[1], line),
               std::min(c.first[2], run.first)};
    c.last = {std::max(c.last[0], slice), std::max(c.last[1], line), std::max(c.last[2], run.last)};
    c.centre[0] += n * double(slice);
    c.centre[1] += n * double(line);
    c.centre[2] += 0.5 * n * double(run.first + run.last);
  }

  const uint8_t* mask_;
  std::array<int64_t, 3> size_;
  std::vector<int64_t> begins_;  // of each row: its first run
  std::vector<Run> runs_;
};

}  // namespace

Components connected_components(const at::Tensor& mask, bool across_slices) {
  const auto m = mask.to(torch::kUInt8).contiguous();
  Components result;
  result.labels = torch::zeros(m.sizes(), torch::kInt32);
  result.all = Runs(m, across_slices).label(result.labels.mutable_data_ptr<int32_t>());
  return result;
}

std::vector<Component> Components::by_size() const {
  auto sorted = all;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.voxels > b.voxels; });
  return sorted;
}

at::Tensor Components::mask_of(int64_t label) const { return (labels == label).to(torch::kUInt8); }

at::Tensor holes_filled(const at::Tensor& mask, int64_t largest_hole) {
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
