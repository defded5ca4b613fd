#include "training/classifier_inputs.h"

#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace x2ctpa {

ClassifierCases::ClassifierCases(const std::vector<Case>& cases, const ClassifierArm& arm)
    : arm_(arm) {
  for (const Case& c : cases) {
    if (!c.pe || arm.inputs(c) == 0) continue;
    cases_.push_back(c);
    labels_.push_back(*c.pe);
  }
}

int64_t ClassifierCases::positives() const { return std::count(labels_.begin(), labels_.end(), 1); }

at::Tensor ClassifierCases::input(size_t index, int64_t number) {
  const auto found = kept_.find({index, number});
  if (found != kept_.end()) return found->second;
  const at::Tensor x = arm_.load(cases_[index], number);
  if (bytes_ + int64_t(x.nbytes()) <= most_bytes) {
    bytes_ += int64_t(x.nbytes());
    kept_.emplace(std::pair{index, number}, x);
  }
  return x;
}

namespace {

at::Tensor shifted(const at::Tensor& x, double shift, at::Generator random) {
  at::Tensor out = x;
  for (int64_t axis = 1; axis < x.dim(); ++axis) {
    const int64_t n = x.size(axis), most = int64_t(shift * double(n));
    const int64_t by = at::randint(-most, most + 1, {1}, random, at::kLong).item<int64_t>();
    if (by != 0) out = out.index_select(axis, (at::arange(n) + by).clamp(0, n - 1));
  }
  return out;
}

}  // namespace

at::Tensor augmented(at::Tensor x, const ClassifierOptions& options, at::Generator random) {
  if (options.flip && x.dim() > 2) {
    const auto flips = at::rand({x.size(0)}, random, at::TensorOptions(at::kFloat)) < 0.5;
    std::vector<int64_t> per_case(size_t(x.dim()), 1);
    per_case[0] = x.size(0);
    x = at::where(flips.view(per_case), x.flip({-1}), x);
  }
  if (options.shift > 0 && x.dim() > 2) {
    std::vector<at::Tensor> cases;
    for (const at::Tensor& one : x.unbind(0)) cases.push_back(shifted(one, options.shift, random));
    x = at::stack(cases);
  }
  if (options.noise > 0)
    x = x + options.noise * at::randn(x.sizes(), random, at::TensorOptions(at::kFloat));
  return x;
}

}  // namespace x2ctpa
